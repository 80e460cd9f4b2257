"""Standard output: styled lines on a terminal, plain text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "Part"]

# Text, or text with a style ("bold", "dim", "red", …).
Part: TypeAlias = str | tuple[str, str]

_BATCH = 500  # lines per write
_NARROWEST = 40  # cells; in a narrower terminal, lines are longer than it is wide


class Output:
    """Collects lines and writes them to standard output.

    Use it as a context manager: the remaining lines are written at the end of the block,
    unless it raised.

    Attributes:
      terminal: Whether the output is for a person: standard output is a terminal, or
        FORCE_COLOR is set. NO_COLOR and TERM=dumb turn off the styles, not the layout.
      width: The width of the terminal, in cells.
      unicode: Whether lines and arrows can be drawn.
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
        """Adds a line; its text must have passed `printable`."""
        text = "".join(part if isinstance(part, str) else self._styled(*part) for part in parts)
        self._lines.append(text.rstrip(" ") + "\n")
        if len(self._lines) >= _BATCH:
            self.flush()

    def render(self, renderable: Any) -> None:
        """Adds a rich renderable, for a terminal; its text must have passed `printable`."""
        console = _console()
        with console.capture() as capture:
            console.print(renderable)
        self._lines += (line.rstrip() + "\n" for line in capture.get().splitlines())

    def flush(self) -> None:
        """Writes the collected lines."""
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
    """Returns `text` with the escapes of a style; a rich `Text` takes ten times as long."""
    from rich.color import ColorSystem
    from rich.style import Style

    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)
