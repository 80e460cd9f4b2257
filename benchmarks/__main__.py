"""`make bench`: every benchmark, a table of each, and the figures as JSON on request."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console

from . import bert, imports, round_trips, tables, workloads


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="times that each contender runs (default 7)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, 3 rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--directory", type=Path, help="where to save (default: temporary)")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 7)

    console = Console()
    about = tables.machine()
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    console.print(f"{about['date']}, {about['system']}, Python {about['python']}, {packages}")
    if options.quick:
        work = {
            "44 MB in 200 values": workloads.large(44),
            "1,000 values of 1 KB": workloads.small(1_000),
        }
    else:
        work = {workloads.LARGE: workloads.large(), workloads.SMALL: workloads.small()}

    results = []
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.directory) as scratch:
        for name in list(work):
            with console.status(name):
                results += round_trips.compare(name, work.pop(name), rounds, Path(scratch))
        small = {"layers": 1, "words": 1_000, "work": "a layer of BERT with Adam"}
        with console.status(bert.WORK):
            results += bert.compare(rounds, Path(scratch), **(small if options.quick else {}))
    console.print(tables.round_trips(results))
    with console.status("import"):
        imported = imports.compare(max(rounds, 5) * 2)
    console.print(tables.imports(imported))

    if options.json:
        figures = tables.as_json([*results, imported])
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
