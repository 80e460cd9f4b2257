"""Compares two checkpoints, value by value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle import BundleReader
from checkpointable.comparison.candidates import add_candidates
from checkpointable.comparison.elements import difference
from checkpointable.comparison.places import Place, places_of
from checkpointable.comparison.result import Comparison, Difference, Verdict
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.readers.reading import load_checkpoint
from checkpointable.report.report import ValueInfo
from checkpointable.restore.mismatch import dtype_name

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.common.types import Path, Progress
    from checkpointable.manifest import Key

__all__ = ["compare_checkpoints"]

_BATCH_SIZE = 1 << 26  # bytes that are verified together


def compare_checkpoints(
    first: Path,
    second: Path,
    *,
    tolerance: float = 0.0,
    progress: Progress | None = None,
    key: Key | None = None,
) -> Comparison:
    """Compares the values of two checkpoints, by object path or, without graphs, by name.

    Objects are matched as a restore matches them: from the root along edges of equal local
    name, slots by their optimizer and their variable. The names of a name-based checkpoint
    count as paths beside one with objects.

    Elements are equal if their numbers are, and also where both are not a number. Every value
    that is compared is verified; large ones are compared in chunks where they lie.

    Args:
      first, second: a prefix, an `.index` file, or a directory (its latest checkpoint).
      tolerance: elements that differ by no more than this are equal.
      progress: called with (bytes done, bytes in all, key), bytes of the first.
      key: which must have signed both, as in `load_checkpoint`.

    Raises:
      CheckpointNotFoundError, CheckpointCorruptError, CheckpointSignatureError: as
        `load_checkpoint`; also for a value whose checksum does not hold.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}; it must not be negative")
    with load_checkpoint(first, key=key) as one, load_checkpoint(second, key=key) as other:
        result = Comparison(one.prefix, other.prefix)
        places = places_of(one, other)
        sizes = [_size(one, place) for place in places]
        total, done = sum(sizes), 0
        for start, stop in _batches(sizes):
            batch = places[start:stop]
            one.check(p.first for p in batch if p.first and p.second)
            other.check(p.second for p in batch if p.first and p.second)
            for place, size in zip(batch, sizes[start:stop], strict=True):
                result.differences.append(_compare(one, other, place, tolerance))
                if progress is not None and place.first and place.second:
                    done += size
                    progress(done, total, place.first)
    add_candidates(result)
    return result


def _size(reader: BundleReader, place: Place) -> int:
    """The bytes of the first that are compared."""
    return reader.entry(place.first).size if place.first and place.second else 0


def _batches(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """Portions, from and to, that stay in memory from their check to their comparison."""
    start = size = 0
    for position, more in enumerate(sizes, 1):
        size += more
        if size >= _BATCH_SIZE or position == len(sizes):
            yield start, position
            start, size = position, 0


def _compare(one: BundleReader, other: BundleReader, place: Place, tolerance: float) -> Difference:
    first, second = _info(one, place.first), _info(other, place.second)
    entry = Difference(
        place.path, place.attribute, Verdict.EQUAL, first, second, place.first, place.second
    )
    if place.first is None or place.second is None:
        entry.verdict = Verdict.ONLY_IN_FIRST if place.first else Verdict.ONLY_IN_SECOND
    elif first != second:
        entry.verdict = Verdict.MISMATCH
    else:
        entry.elements = math.prod(one.shape(place.first))
        a, b = _contents(one, place.first), _contents(other, place.second)
        if a is None or b is None:
            is_equal = one.get_bytes(place.first) == other.get_bytes(place.second)
            entry.count = 0 if is_equal else None
        else:
            entry.count, entry.largest = difference(a, b, tolerance)
            if entry.count and entry.elements == 1:
                entry.contents = (a.reshape(-1)[0], b.reshape(-1)[0])
        if entry.count != 0:
            entry.verdict = Verdict.CHANGED
    return entry


def _info(reader: BundleReader, key: str | None) -> ValueInfo | None:
    if key is None:
        return None
    try:
        name = dtype_name(reader.dtype(key))
    except CheckpointUnsupportedError:  # a variant, say
        name = reader.entry(key).dtype.name.removeprefix("DT_").lower()
    return ValueInfo(name, reader.shape(key))


def _contents(reader: BundleReader, key: str) -> npt.NDArray[Any] | None:
    """A value: where it lies in the file if that can be; None if it is no array."""
    try:
        return reader.view(key)
    except CheckpointUnsupportedError:
        try:
            contents = reader.get_tensor(key)
        except CheckpointUnsupportedError:
            return None
        if not isinstance(contents, bytes):
            return contents
        array = np.empty((), object)
        array[()] = contents
        return array
