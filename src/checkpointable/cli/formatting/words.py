"""Names, numbers and sizes as text."""

from __future__ import annotations

__all__ = ["bytes_text", "counted", "human_size", "printable"]


def printable(text: str) -> str:
    r"""Returns `text` with unprintable characters as escapes, such as "\n" and "\x1b".

    Names come from files of any origin; the escapes keep them from breaking a line or
    controlling a terminal. The JSON output has the exact names.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def human_size(size: int) -> str:
    """Returns a number of bytes to about three digits: "384 B", "1.2 KiB", "20.9 MiB"."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        value /= 1024
        if value < 999.95 or unit == "PiB":
            break
    return f"{value:.1f} {unit}"


def bytes_text(size: int) -> str:
    """Returns the exact number of bytes, and a rounded one: "21,887,048 bytes (20.9 MiB)"."""
    exact = counted(size, "byte")
    return exact if size < 1024 else f"{exact} ({human_size(size)})"


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: "1 value", "1,200 values"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
