"""`checkpointable ls`: lists the values with key, dtype, shape and bytes."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from checkpointable.cli.arguments import JsonOption, PathArgument
from checkpointable.cli.formatting.json_output import stored_as_json, write_json_rows
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.words import bytes_text, counted, human_size, printable
from checkpointable.graph.patterns import key_matcher
from checkpointable.readers.reader import StoredValue
from checkpointable.readers.reading import load_checkpoint

__all__ = ["HELP", "run"]

HELP = """\
Lists the values of a checkpoint: key, dtype, shape, bytes.

On a terminal the output is a table with totals. Otherwise each value is one line of four fields
separated by tabs, with complete keys, and the totals are written to standard error. Unprintable
characters are shown as escapes (\\n); --json contains the exact keys.

A PATTERN matches a whole key, or the path of the value's object: * stands for any characters
within a segment, ** for any characters across segments, ? for one character. Quote patterns, so
that the shell does not expand them.

\b
  checkpointable ls runs/a
  checkpointable ls runs/a --sort size | head
  checkpointable ls runs/a --filter 'model/**' --filter 'optimizer/*'
  checkpointable ls runs/a --filter '**/kernel' --json
"""


class SortKey(str, enum.Enum):
    """The order of the values; equal ones are sorted by key."""

    KEY = "key"
    SIZE = "size"
    DTYPE = "dtype"
    SHAPE = "shape"


_ORDERS: dict[SortKey, Callable[[StoredValue], Any]] = {
    SortKey.KEY: lambda value: value.key,
    SortKey.SIZE: lambda value: -value.nbytes,
    SortKey.DTYPE: lambda value: value.dtype,
    SortKey.SHAPE: lambda value: (len(value.shape), value.shape),
}


def run(
    path: PathArgument,
    sort: Annotated[
        SortKey, typer.Option(help="The order: key, size (largest first), dtype or shape.")
    ] = SortKey.KEY,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Reverse the order.")] = False,
    patterns: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="PATTERN",
            help="List only values that match; repeatable: any of the patterns.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    with load_checkpoint(path) as reader:
        keys: Iterable[str] = reader.keys()
        if patterns:
            keys = filter(key_matcher(patterns), keys)
        values = [reader.stored(key) for key in keys]
        checkpoint = reader.prefix
    if sort is not SortKey.KEY:  # values come sorted by key, and sorting is stable
        values.sort(key=_ORDERS[sort])
    if reverse:
        values.reverse()
    if json:
        _print_json(checkpoint, values)
        return
    with Output() as out:
        if out.terminal:
            _print_table(out, values)
            out.line()
            out.line((_totals(values), "bold"))
        else:
            for value in values:
                shape = str(value.shape)
                out.line(f"{printable(value.key)}\t{value.dtype}\t{shape}\t{value.nbytes}")
    if not out.terminal:
        typer.echo(_totals(values), err=True)


def _sums(values: Iterable[StoredValue]) -> dict[str, tuple[int, int]]:
    """Returns dtype -> (number of values, bytes), most bytes first."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for value in values:
        counts[value.dtype] += 1
        sizes[value.dtype] += value.nbytes
    return {dtype: (counts[dtype], sizes[dtype]) for dtype, _ in sizes.most_common()}


def _totals(values: list[StoredValue]) -> str:
    text = f"{counted(len(values), 'value')}, {bytes_text(sum(v.nbytes for v in values))}"
    sums = _sums(values)
    if len(sums) > 1:
        parts = (f"{n:,} {dtype} {human_size(size)}" for dtype, (n, size) in sums.items())
        text += f": {', '.join(parts)}"
    return text


def _print_json(checkpoint: str, values: list[StoredValue]) -> None:
    by_dtype = {dtype: {"values": n, "bytes": size} for dtype, (n, size) in _sums(values).items()}
    totals = {
        "values": len(values),
        "bytes": sum(value.nbytes for value in values),
        "by_dtype": by_dtype,
    }
    rows = map(stored_as_json, values)
    write_json_rows({"checkpoint": checkpoint}, "values", rows, {"totals": totals})


def _print_table(out: Output, values: list[StoredValue]) -> None:
    """Prints columns; a key that is too long continues in the next line.

    A rich table of 100,000 rows takes half a minute.
    """
    from rich.cells import cell_len, chop_cells

    rows = [
        (printable(v.key), v.dtype, str(v.shape), f"{v.nbytes:,}", human_size(v.nbytes))
        for v in values
    ]
    header = ("key", "dtype", "shape", "bytes", "")
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    widths[0] = max(cell_len(row[0]) for row in (header, *rows))
    widths[0] = min(widths[0], max(20, out.width - sum(widths[1:]) - 2 * len(header) + 1))

    def fixed(dtype: str, shape: str, exact: str, human: str) -> str:
        return (
            f"  {dtype:<{widths[1]}}  {shape:<{widths[2]}}  {exact:>{widths[3]}}  "
            f"{human:>{widths[4]}}"
        )

    out.line((f"{header[0]:<{widths[0]}}{fixed(*header[1:])}".rstrip(), "bold"))
    for key, *others in rows:
        first, *more = [key] if cell_len(key) <= widths[0] else chop_cells(key, widths[0])
        out.line(first + " " * (widths[0] - cell_len(first)), (fixed(*others), "cyan"))
        for part in more:
            out.line(part)
