"""Which part of an array is asked for, and where in it a part of a partitioned value goes."""

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
    """What `array[index]` would select of an array of a given shape.

    Attributes:
      shape: of the result before it is `finished`: of all dimensions, in ascending order.

    Raises:
      TypeError: something other than integers, slices and `...`.
      IndexError: too many of them, or an integer out of bounds.
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
                place = operator.index(one)
                if not -size <= place < size:
                    raise IndexError(
                        f"index {place} is out of bounds for axis {axis} with size {size}"
                    )
                place %= size
                chosen = range(place, place + 1)
                finish.append(0)
            self._ranges.append(chosen)
        self.shape = tuple(len(chosen) for chosen in self._ranges)
        # With dots at their ends: arrays also where there are no dimensions.
        self._whole: _Where = (*map(_as_slice, self._ranges), ...)
        self._finish: _Where = (*finish, ...)

    def finished(self, chosen: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array of what is selected, from one of the `shape`: without the dimensions of
        integers, the others in the order asked for.
        """
        return np.array(chosen[self._finish], order="C")

    def of(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array of what is selected of `array`."""
        return self.finished(array[self._whole])

    def within(self, extents: Extents) -> tuple[_Where, _Where] | None:
        """What of a part at `extents` is selected, and where that goes in the result.

        None where nothing is. The result is that before `finish`.
        """
        of_part: list[slice] = []
        of_result: list[slice] = []
        for chosen, (start, length) in zip(self._ranges, extents, strict=True):
            # The first and the last of the chosen places that lie in the part.
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
    """The index with one item for each dimension."""
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
