"""`checkpointable diff`: compares two checkpoints."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.cli.arguments import JsonOption
from checkpointable.cli.formatting.difference import describe_difference, difference_as_json
from checkpointable.cli.formatting.json_output import write_json_rows
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.progress import progress_bar
from checkpointable.cli.formatting.words import printable
from checkpointable.comparison import Comparison, Difference, Verdict, compare_checkpoints
from checkpointable.report.text import renames_text, value_name

__all__ = ["HELP", "run"]

HELP = """\
Compares two checkpoints, value by value.

Objects are matched as in a restore: from the root, by local names; slots by their optimizer and
their variable. A value that both have is compared element by element. For a value that only one
has, the likely counterpart in the other is printed. Equal values are counted; --all lists them.

On a terminal the output is a table. Otherwise each value is one line of fields separated by tabs
(path, verdict, first, second, remark), and the totals are written to standard error.

Exit codes: 0 equal; 1 different, or an error; 2 invalid arguments.

\b
  checkpointable diff runs/a/ckpt-6 runs/a/ckpt-7
  checkpointable diff runs/a runs/b --tolerance 1e-6
  checkpointable diff runs/a runs/b --json
"""

_COLOURS = {
    Verdict.EQUAL: "green",
    Verdict.CHANGED: "yellow",
    Verdict.MISMATCH: "bold red",
    Verdict.ONLY_IN_FIRST: "red",
    Verdict.ONLY_IN_SECOND: "cyan",
}


def run(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A checkpoint prefix, an .index file, a directory (its latest checkpoint), or a "
            "file of tensors.",
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another checkpoint.")],
    show_all: Annotated[bool, typer.Option("--all", help="List equal values too.")] = False,
    tolerance: Annotated[
        float,
        typer.Option(min=0, metavar="X", help="Treat elements that differ by up to X as equal."),
    ] = 0.0,
    json: JsonOption = False,
) -> None:
    with progress_bar("diff") as progress:
        comparison = compare_checkpoints(first, second, tolerance=tolerance, progress=progress)
    shown = [entry for entry in comparison if show_all or entry.verdict is not Verdict.EQUAL]
    if json:
        _print_json(comparison, shown)
    else:
        _print(comparison, shown)
    if not comparison.equal:
        raise typer.Exit(1)


def _print_json(comparison: Comparison, shown: list[Difference]) -> None:
    head = {"first": comparison.first, "second": comparison.second, "equal": comparison.equal}
    tail = {"counts": comparison.counts, "renames": comparison.renames}
    write_json_rows(head, "differences", map(difference_as_json, shown), tail)


def _print(comparison: Comparison, shown: list[Difference]) -> None:
    with Output() as out:
        rows = [_row(entry, "→" if out.unicode else "->") for entry in shown]
        if not out.terminal:
            for row in rows:
                out.line("\t".join(row))
        elif rows:
            _print_table(out, shown, rows)
            out.line()
        lines = _footer(comparison)
        for line in lines if out.terminal else ():
            out.line((line, "bold"))
    if not out.terminal:
        for line in lines:
            typer.echo(line, err=True)


def _row(entry: Difference, arrow: str) -> tuple[str, ...]:
    return (
        printable(value_name(entry.path, entry.attribute)),
        entry.verdict.value,
        "-" if entry.first is None else str(entry.first),
        "-" if entry.second is None else str(entry.second),
        describe_difference(entry, arrow),
    )


def _print_table(out: Output, shown: list[Difference], rows: list[tuple[str, ...]]) -> None:
    from rich.cells import cell_len

    header = ("path", "", "first", "second", "")
    widths = [max(cell_len(row[i]) for row in (header, *rows)) for i in range(4)]

    def padded(row: tuple[str, ...], i: int) -> str:
        return row[i] + " " * (widths[i] - cell_len(row[i]) + 2)

    out.line(("".join(padded(header, i) for i in range(4)), "bold"))
    for entry, row in zip(shown, rows, strict=True):
        out.line(
            padded(row, 0),
            (padded(row, 1), _COLOURS[entry.verdict]),
            (padded(row, 2) + padded(row, 3), "dim"),
            row[4],
        )


def _footer(comparison: Comparison) -> list[str]:
    counts = comparison.counts
    names = f"{printable(comparison.first)} and {printable(comparison.second)}"
    if not counts:
        return [f"{names}: no values"]
    lines = [f"{names}: {', '.join(f'{number:,} {verdict}' for verdict, number in counts.items())}"]
    if comparison.renames:
        lines.append(f"likely renamed: {renames_text(comparison.renames)}")
    return lines
