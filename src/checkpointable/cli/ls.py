"""`checkpointable ls`: every value with its key, dtype, shape and bytes."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from checkpointable.cli.opening import JsonOption, PathArgument, Stored, open_checkpoint, stored
from checkpointable.cli.output import Output, write_json_rows
from checkpointable.cli.text import bytes_text, counted, human_size, printable
from checkpointable.graph.patterns import key_matcher

__all__ = ["HELP", "run"]

HELP = """\
Lists the values of a checkpoint: key, dtype, shape, bytes.

On a terminal this is a table with totals. Elsewhere it is a line a value, its four fields
separated by tabs, no key shortened, and the totals go to standard error. Characters that
cannot be printed are shown as escapes (\\n); --json has every key as it is.

A PATTERN is matched against the whole key, or the path of the object that the value belongs
to: * stands for anything within a segment, ** for anything across segments, ? for one
character. Quote it, so that the shell leaves it alone.

\b
  checkpointable ls runs/a
  checkpointable ls runs/a --sort size | head
  checkpointable ls runs/a --filter 'model/**' --filter 'optimizer/*'
  checkpointable ls runs/a --filter '**/kernel' --json
"""


class SortKey(str, enum.Enum):
    """What the values are sorted by; equal ones by key."""

    KEY = "key"
    SIZE = "size"
    DTYPE = "dtype"
    SHAPE = "shape"


_ORDERS: dict[SortKey, Callable[[Stored], Any]] = {
    SortKey.KEY: lambda value: value.key,
    SortKey.SIZE: lambda value: -value.size,
    SortKey.DTYPE: lambda value: value.dtype,
    SortKey.SHAPE: lambda value: (len(value.shape), value.shape),
}


def run(
    path: PathArgument,
    sort: Annotated[
        SortKey, typer.Option(help="The order: key, size (largest first), dtype or shape.")
    ] = SortKey.KEY,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
    patterns: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="PATTERN",
            help="Only values that match; may be given several times: any of them.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    with open_checkpoint(path) as reader:
        keys: Iterable[str] = reader.keys()
        if patterns:
            keys = filter(key_matcher(patterns), keys)
        values = [stored(reader, key) for key in keys]
        checkpoint = reader.prefix
    if sort is not SortKey.KEY:  # they come sorted by key, and sorting keeps that order
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
                out.line(f"{printable(value.key)}\t{value.dtype}\t{shape}\t{value.size}")
    if not out.terminal:
        typer.echo(_totals(values), err=True)


def _sums(values: Iterable[Stored]) -> dict[str, tuple[int, int]]:
    """dtype -> (values, bytes), most bytes first."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for value in values:
        counts[value.dtype] += 1
        sizes[value.dtype] += value.size
    return {dtype: (counts[dtype], sizes[dtype]) for dtype, _ in sizes.most_common()}


def _totals(values: list[Stored]) -> str:
    text = f"{counted(len(values), 'value')}, {bytes_text(sum(v.size for v in values))}"
    sums = _sums(values)
    if len(sums) > 1:
        parts = (f"{n:,} {dtype} {human_size(size)}" for dtype, (n, size) in sums.items())
        text += f": {', '.join(parts)}"
    return text


def _print_json(checkpoint: str, values: list[Stored]) -> None:
    by_dtype = {dtype: {"values": n, "bytes": size} for dtype, (n, size) in _sums(values).items()}
    totals = {
        "values": len(values),
        "bytes": sum(value.size for value in values),
        "by_dtype": by_dtype,
    }
    rows = (value.as_json() for value in values)
    write_json_rows({"checkpoint": checkpoint}, "values", rows, {"totals": totals})


def _print_table(out: Output, values: list[Stored]) -> None:
    """Columns of equal width; a key that is too long goes on in the next line.

    By hand, since a rich table of 100,000 rows takes half a minute.
    """
    from rich.cells import cell_len, chop_cells

    rows = [
        (printable(v.key), v.dtype, str(v.shape), f"{v.size:,}", human_size(v.size)) for v in values
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
