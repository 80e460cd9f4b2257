"""A value as text and as JSON."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import numpy as np

from checkpointable.cli.formatting.json_output import json_number, stored_as_json
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.words import bytes_text, counted, printable
from checkpointable.cli.value_details import Details, Number
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.readers.reader import Location

__all__ = ["element_as_json", "print_value", "value_as_json"]

# The part that is printed of a string, without --all.
_SHOWN_CHARACTERS = 2000
_SHOWN_LINES = 100


def print_value(out: Output, details: Details, first: int, *, in_full: bool) -> None:
    """Prints the description of a value, its statistics and its first elements.

    Args:
      out: The output.
      details: The value.
      first: The number of elements to print.
      in_full: Print all elements, and strings to their end.
    """
    stored = details.stored
    _field(out, "key", printable(stored.key), "bold")
    _field(out, "dtype", stored.dtype)
    _field(out, "shape", f"{stored.shape}, {counted(details.elements, 'element')}")
    _field(out, "size", bytes_text(stored.nbytes))
    for location in details.locations:
        checked = ", verified" if details.is_verified else ", not verified"
        _field(out, "stored in", _location(location) + checked)
    for name, text in _statistics(details):
        _field(out, name, text)
    if stored.key == GRAPH_KEY:
        _field(out, "contents", "the object graph: `checkpointable show PATH` prints it")
    elif details.contents is None:
        _field(out, "contents", printable(details.note))
    elif details.elements:
        _print_elements(out, details, details.elements if in_full else first, in_full=in_full)


def _field(out: Output, name: str, text: str, style: str = "") -> None:
    out.line((f"{name:<10}", "dim"), "  ", (text, style))


def _location(location: Location) -> str:
    extents = ", ".join(
        f"{start}:{'' if length < 0 else start + length}" for start, length in location.extents
    )
    part = f", part [{extents}]" if extents else ""
    return (
        f"{printable(os.path.basename(location.file))}, offset {location.offset}, "
        f"size {location.size}, masked crc32c {location.checksum:#010x}{part}"
    )


def _statistics(details: Details) -> list[tuple[str, str]]:
    statistics = details.statistics
    if details.elements == 1:  # the element itself is printed
        return []
    shown = {name: _number(number) for name, number in statistics.items()}
    if "true" in statistics:
        return [("true", shown["true"]), ("false", shown["false"])]
    if "longest" in statistics:
        return [("lengths", f"{shown['shortest']} … {shown['longest']} bytes")]
    lines = []
    for low, high, name in (("min", "max", "range"), ("abs_min", "abs_max", "magnitude")):
        if low in statistics:
            lines.append((name, f"{shown[low]} … {shown[high]}"))
    lines += [(name, shown[name]) for name in ("mean", "std") if name in statistics]
    if "nan" in statistics:
        lines.append(("not finite", f"{shown['nan']} NaN, {shown['inf']} infinite"))
    return lines


def _number(number: Number) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.6g}"


def _print_elements(out: Output, details: Details, count: int, *, in_full: bool) -> None:
    assert details.contents is not None
    flat = details.contents.reshape(-1)
    if details.stored.dtype != "string":
        more = " …" if details.elements > count else ""
        if count:
            _field(out, "elements", " ".join(map(_element, flat[:count])) + more)
        return
    for index, element in enumerate(flat[:count]):
        name = "contents" if details.stored.shape == () else f"[{_position(details, index)}]"
        lines = _string_lines(element, in_full=in_full)
        _field(out, name, lines[0])
        for line in lines[1:]:
            _field(out, "", line)
    if details.elements > count:
        _field(out, "", f"… {counted(details.elements - count, 'more string')}")


def _position(details: Details, index: int) -> str:
    position = np.unravel_index(index, details.stored.shape)
    return ", ".join(str(int(i)) for i in position)


def _element(element: Any) -> str:
    return str(
        element.item() if isinstance(element, np.generic) and _is_exact(element) else element
    )


def _is_exact(element: np.generic) -> bool:
    """Returns whether the Python number prints like this one; a float32 would get more digits."""
    return element.dtype.kind in "iub"


def _string_lines(data: bytes, *, in_full: bool) -> list[str]:
    """Returns the lines of a string: JSON indented, text as it is, other bytes as a literal."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return [_shortened(repr(data), in_full=in_full)]
    lines = _json_lines(text)
    if lines is None:
        if not text:
            return ['""']
        # Line breaks of text are kept; escapes and other binary strings stay on one line.
        lines = text.splitlines() if _is_text(text) else [printable(text)]
    if not in_full:
        if len(lines) > _SHOWN_LINES:
            more = counted(len(lines) - _SHOWN_LINES, "more line")
            lines = [*lines[:_SHOWN_LINES], f"… {more} (--all shows them)"]
        lines = [_shortened(line, in_full=False) for line in lines]
    return [printable(line) for line in lines]


def _is_text(text: str) -> bool:
    return all(line.isprintable() for line in text.replace("\t", " ").splitlines())


def _shortened(text: str, *, in_full: bool) -> str:
    if in_full or len(text) <= _SHOWN_CHARACTERS:
        return text
    more = counted(len(text) - _SHOWN_CHARACTERS, "more character")
    return f"{text[:_SHOWN_CHARACTERS]} … {more} (--all shows them)"


def _json_lines(text: str) -> list[str] | None:
    """Returns the lines of an indented JSON object or array; None for other strings."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):
        return None


def value_as_json(details: Details, first: int, *, in_full: bool) -> dict[str, Any]:
    """Returns an element of `values` (docs/command-line.md).

    Args: As for `print_value`.
    """
    elements: list[Any] = []
    if details.contents is not None:
        flat = details.contents.reshape(-1)
        elements = [element_as_json(x) for x in (flat if in_full else flat[:first])]
    statistics = {name: _number_as_json(number) for name, number in details.statistics.items()}
    return {
        **stored_as_json(details.stored),
        "elements": details.elements,
        "stored": [_location_as_json(location) for location in details.locations],
        "verified": details.is_verified,
        "statistics": statistics,
        "first": elements,
        "note": details.note,
    }


def _location_as_json(location: Location) -> dict[str, Any]:
    return {
        "file": location.file,
        "offset": location.offset,
        "bytes": location.size,
        "masked_crc32c": location.checksum,
        "extents": [list(extent) for extent in location.extents],
    }


def _number_as_json(number: Number) -> Any:
    if isinstance(number, complex):
        return [json_number(number.real), json_number(number.imag)]
    return json_number(number) if isinstance(number, float) else number


def element_as_json(element: Any) -> Any:
    """Returns an element of an array as a JSON value."""
    if isinstance(element, bytes):
        try:
            return element.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(element).decode()}
    if element.dtype.kind in "iub":
        return element.item()
    if element.dtype.kind == "c":
        return _number_as_json(complex(element))
    if element.dtype.name.startswith(("int", "uint")):
        return int(element)
    # The shortest number that reads back as this one: float(np.float32(0.1)) is 0.10000000149.
    return json_number(float(str(element)))
