"""Tells how far a restore has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from checkpointable.restore.by_name.parts import Reader

__all__ = ["RestoreProgress"]

_Item = TypeVar("_Item")

# What is done between two calls: so many bytes, and a value more.
_STEP = 32 * 2**20


class RestoreProgress:
    """Calls back with (bytes done, bytes in all, key) as values are verified and restored.

    Args:
      reader: where the values are.
      checked: keys of the values that are verified before the first one changes.
      assigned: keys of those that are then assigned.
    """

    def __init__(
        self,
        callback: Callable[[int, int, str], None],
        reader: Reader,
        checked: Sequence[str],
        assigned: Sequence[str],
    ) -> None:
        self._callback = callback
        self._sizes = {key: _size(reader, key) for key in (*checked, *assigned)}
        self._total = sum(self._sizes[key] for key in (*checked, *assigned))
        self._done = 0

    def steps(
        self, items: Sequence[_Item], key_of: Callable[[_Item], str]
    ) -> Iterator[list[_Item]]:
        """The items in portions, which count as done when the next one is asked for."""
        step: list[_Item] = []
        size = 0
        for item in items:
            step.append(item)
            size += self._sizes.get(key_of(item), 0)
            if size >= _STEP:
                yield step
                self._advance(size, key_of(item))
                step, size = [], 0
        if step:
            yield step
            self._advance(size, key_of(step[-1]))

    def _advance(self, size: int, key: str) -> None:
        self._done += size
        self._callback(self._done, self._total, key)


def _size(reader: Reader, key: str) -> int:
    entry = reader.entry(key)
    if not entry.slices:
        return int(entry.size)
    dtype, shape = reader.kind(key)
    size = dtype.itemsize
    for dim in shape:
        size *= dim
    return size
