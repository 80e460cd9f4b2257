"""JSON on standard output, and the parts that several documents have (docs/command-line.md)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checkpointable.readers.reader import StoredValue

__all__ = ["json_number", "stored_as_json", "write_json", "write_json_rows"]


def write_json(document: Any) -> None:
    """Writes a JSON document, in ASCII and indented."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def write_json_rows(
    head: Mapping[str, Any], name: str, rows: Iterable[Any], tail: Mapping[str, Any]
) -> None:
    """Writes {**head, name: [rows], **tail} with one row per line, as the rows are made."""
    write = sys.stdout.write
    write("{\n")
    for key, item in head.items():
        write(f"{json.dumps(key)}: {json.dumps(item, allow_nan=False)},\n")
    write(f"{json.dumps(name)}: [")
    separator = "\n"
    for row in rows:
        write(separator + json.dumps(row, allow_nan=False))
        separator = ",\n"
    write("\n]")
    for key, item in tail.items():
        write(f",\n{json.dumps(key)}: {json.dumps(item, allow_nan=False)}")
    write("\n}\n")


def json_number(number: float) -> float | str:
    """Returns a number that JSON has; otherwise "NaN", "Infinity" or "-Infinity"."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def stored_as_json(value: StoredValue) -> dict[str, Any]:
    """Describes a stored value: `key`, `dtype`, `shape`, `bytes`."""
    return {
        "key": value.key,
        "dtype": value.dtype,
        "shape": list(value.shape),
        "bytes": value.nbytes,
    }
