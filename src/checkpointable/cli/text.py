"""Names, numbers and sizes as text."""

from __future__ import annotations

__all__ = ["bytes_text", "counted", "human_size", "printable"]


def printable(text: str) -> str:
    r"""`text` on one line and harmless to a terminal: "\n", "\x1b" for what is not printable.

    Names come from files of any origin. Exact ones are in the JSON output.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def human_size(size: int) -> str:
    """Bytes with three digits or so: "384 B", "1.2 KiB", "20.9 MiB"."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        value /= 1024
        if value < 999.95 or unit == "PiB":
            break
    return f"{value:.1f} {unit}"


def bytes_text(size: int) -> str:
    """Bytes exactly, and readably where that is something else: "21,887,048 bytes (20.9 MiB)"."""
    exact = counted(size, "byte")
    return exact if size < 1024 else f"{exact} ({human_size(size)})"


def counted(number: int, what: str) -> str:
    """A number and what it counts: "1 value", "1,200 values"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
