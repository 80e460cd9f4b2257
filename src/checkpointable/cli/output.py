"""Standard output: styled lines on a terminal, plain text elsewhere, JSON when asked for."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "Part", "json_number", "write_json", "write_json_rows"]

# Text, or text with a style ("bold", "dim", "red", …).
Part: TypeAlias = str | tuple[str, str]

_BATCH = 500  # lines that are written at once
_NARROWEST = 40  # below this nothing readable comes out: longer lines then


class Output:
    """A context manager; what it was given is written at the latest when it ends.

    Attributes:
      terminal: whether a person reads it: standard output is a terminal, or FORCE_COLOR is
        set. NO_COLOR and TERM=dumb take away the styles, not the layout.
      width: of the terminal, in cells.
      unicode: whether lines and arrows can be drawn.
    """

    def __init__(self) -> None:
        self.terminal = bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
        self.unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        self.width = _NARROWEST
        self._styled: Callable[[str, str], str] = lambda text, _style: text
        if self.terminal:
            console = _console()
            self.width = max(_NARROWEST, console.width)
            if console.color_system is not None and not console.legacy_windows:
                self._styled = _ansi
        self._lines: list[str] = []

    def line(self, *parts: Part) -> None:
        """Adds a line. Its text must be `printable` already."""
        text = "".join(part if isinstance(part, str) else self._styled(*part) for part in parts)
        self._lines.append(text.rstrip(" ") + "\n")
        if len(self._lines) >= _BATCH:
            self.flush()

    def render(self, renderable: Any) -> None:
        """Adds what rich draws, for a terminal. Its text must be `printable` already."""
        console = _console()
        with console.capture() as capture:
            console.print(renderable)
        self._lines += (line.rstrip() + "\n" for line in capture.get().splitlines())

    def flush(self) -> None:
        sys.stdout.write("".join(self._lines))
        self._lines.clear()

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.flush()


def _console() -> Console:
    from rich.console import Console

    no_styles = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return Console(force_terminal=True, color_system=None if no_styles else "auto")


def _ansi(text: str, style: str) -> str:
    """`text` with the escapes of a style. A rich `Text` would take ten times as long."""
    from rich.color import ColorSystem
    from rich.style import Style

    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)


def write_json(document: Any) -> None:
    """Writes one JSON document, ASCII alone, indented."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def write_json_rows(
    head: Mapping[str, Any], name: str, rows: Iterable[Any], tail: Mapping[str, Any]
) -> None:
    """Writes {**head, name: [rows], **tail} with a row a line, without holding all of it."""
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
    """A number as JSON can hold it: "NaN", "Infinity", "-Infinity" as strings."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number
