"""Selects part of an array, also from the parts of a partitioned value."""

from __future__ import annotations

import operator
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.shapes import Extents

__all__ = ["Index", "Selection"]

_One = int | slice | EllipsisType
Index = _One | tuple[_One, ...]
_Where = tuple[Any, ...]


class Selection:
    """The elements that `array[index]` selects from an array of a given shape.

    Attributes:
      shape: The shape of the result before `finished`: with all dimensions, in ascending order.

    Raises:
      TypeError: The index contains something other than integers, slices and `...`.
      IndexError: It has too many items, or an integer is out of bounds.
    """

    def __init__(self, index: Index, shape: tuple[int, ...]) -> None:
        given = index if isinstance(index, tuple) else (index,)
        spread = _spread(given, len(shape))
        self._ranges: list[range] = []
        finish: list[Any] = []
        for axis, (one, size) in enumerate(zip(spread, shape, strict=True)):
            if isinstance(one, slice):
                chosen = range(*one.indices(size))
                if chosen.step < 0:
                    chosen = chosen[::-1]
                    finish.append(slice(None, None, -1))
                else:
                    finish.append(slice(None))
            else:
                position = operator.index(one)
                if not -size <= position < size:
                    raise IndexError(
                        f"index {position} is out of bounds for axis {axis} with size {size}"
                    )
                position %= size
                chosen = range(position, position + 1)
                finish.append(0)
            self._ranges.append(chosen)
        self.shape = tuple(len(chosen) for chosen in self._ranges)
        # The trailing dots make the result an array even if it has no dimensions.
        self._whole: _Where = (*map(_as_slice, self._ranges), ...)
        self._finish: _Where = (*finish, ...)

    def finished(self, chosen: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the result from an array of `shape`.

        Drops the dimensions of integers, and reverses those with negative steps.
        """
        return np.array(chosen[self._finish], order="C")

    def of(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the selected elements of `array`."""
        return self.finished(array[self._whole])

    def within(self, extents: Extents) -> tuple[_Where, _Where] | None:
        """Returns the index into a part at `extents`, and the index into the result.

        The result is the one before `finished`. Returns None if nothing of the part is selected.
        """
        of_part: list[slice] = []
        of_result: list[slice] = []
        for chosen, (start, length) in zip(self._ranges, extents, strict=True):
            # The first and last of the chosen positions that lie in the part.
            first = max(0, -(-(start - chosen.start) // chosen.step))
            last = min(len(chosen), -(-(start + length - chosen.start) // chosen.step))
            if first >= last:
                return None
            inside = chosen[first:last]
            of_part.append(_as_slice(range(inside.start - start, inside.stop - start, inside.step)))
            of_result.append(slice(first, last))
        return (*of_part, ...), (*of_result, ...)


def _as_slice(chosen: range) -> slice:
    return slice(chosen.start, chosen.stop, chosen.step) if chosen else slice(0, 0)


def _spread(given: tuple[Any, ...], rank: int) -> list[int | slice]:
    """Returns the index with one item for each dimension."""
    for one in given:
        if not isinstance(one, slice | EllipsisType) and (
            isinstance(one, bool)
            or not hasattr(one, "__index__")
            or getattr(one, "shape", ()) != ()
        ):
            raise TypeError(f"a slice is made of integers, slices and ..., not {one!r:.80}")
    dots = [i for i, one in enumerate(given) if one is ...]
    if len(dots) > 1 or len(given) - len(dots) > rank:
        raise IndexError(f"{given!r:.80} has too many indices for {rank} dimension(s)")
    at = dots[0] if dots else len(given)
    missing = [slice(None)] * (rank - len(given) + len(dots))
    return [*given[:at], *missing, *given[at + len(dots) :]]
