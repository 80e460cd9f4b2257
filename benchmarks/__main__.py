"""`make bench`: every benchmark, a table of each, docs/performance.md with plots, and JSON."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from . import bert, imports, opening, page, round_trips, scale, tables, waiting, walking, workloads
from .timing import Result

Works = dict[str, Callable[[], workloads.Arrays]]

FULL: Works = {
    workloads.LARGE: workloads.large,
    workloads.HUGE: workloads.huge,
    workloads.SMALL: workloads.small,
}
QUICK: Works = {
    "44 MB in 200 values": lambda: workloads.large(44),
    "1,000 values of 1 KB": lambda: workloads.small(1_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="times that each contender runs (default 7)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, 3 rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--directory", type=Path, help="where to save (default: temporary)")
    parser.add_argument("--docs", type=Path, help="where the page goes (default docs; quick: none)")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 7)

    console = Console()
    about = tables.machine()
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    console.print(f"{about['date']}, {about['system']}, Python {about['python']}, {packages}")

    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.directory) as scratch:
        for result in _results(options.quick, rounds, Path(scratch), console):
            console.print(tables.comparison(result))
            results.append(result)
        with console.status("scale"):
            sizes = scale.SIZES[:2] if options.quick else scale.SIZES
            steps = list(scale.steps(sizes, Path(scratch)))
    console.print(tables.scale(steps))
    with console.status("import"):
        imported = imports.compare(max(rounds, 5) * 2)
    console.print(tables.imports(imported))

    if options.json:
        figures = tables.as_json([*results, imported])
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    docs = options.docs or (None if options.quick else Path("docs"))
    if docs is not None:
        page.write(docs, about, rounds, results, imported, steps)


def _results(quick: bool, rounds: int, scratch: Path, console: Console) -> Iterator[Result]:
    for name, make in (QUICK if quick else FULL).items():
        with console.status(name):
            yield from round_trips.compare(name, make(), rounds, scratch)
    small: dict[str, Any] = {"layers": 1, "words": 1_000, "work": "a layer of BERT with Adam"}
    with console.status(bert.WORK):
        yield from bert.compare(rounds, scratch, **(small if quick else {}))
    with console.status("walking"):
        yield from walking.compare(1_000 if quick else 10_000, rounds)
    with console.status("an asynchronous save"):
        yield from waiting.compare(100 if quick else 1_000, rounds, scratch)
    with console.status("opening"):
        yield from opening.compare(10_000 if quick else 100_000, rounds, scratch)


if __name__ == "__main__":
    main()
