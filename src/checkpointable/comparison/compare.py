"""Compares two checkpoints, value by value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.common.deprecation import renamed_options
from checkpointable.comparison.candidates import add_candidates
from checkpointable.comparison.elements import difference
from checkpointable.comparison.pairs import ValuePair, pairs_of
from checkpointable.comparison.result import Comparison, Difference, Verdict
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.readers.reading import load_checkpoint
from checkpointable.report.report import ValueInfo
from checkpointable.restore.match import dtype_name
from checkpointable.storage import Storage, takes_storage

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.common.types import Path, Progress
    from checkpointable.manifest import Key
    from checkpointable.readers.reader import CheckpointReader

__all__ = ["compare_checkpoints"]

_BATCH_SIZE = 1 << 26  # bytes that are verified together


@renamed_options(key="trusted_key")
@takes_storage
def compare_checkpoints(
    first: Path,
    second: Path,
    *,
    tolerance: float = 0.0,
    progress: Progress | None = None,
    trusted_key: Key | None = None,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
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
      trusted_key: the key that must have signed both, as in `load_checkpoint`.
      storage: where the files are. None: the default storage, which `use_storage` sets.

    Raises:
      CheckpointNotFoundError, CheckpointCorruptError, CheckpointSignatureError: as
        `load_checkpoint`; also for a value whose checksum does not hold.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}; it must not be negative")
    with (
        load_checkpoint(first, trusted_key=trusted_key) as one,
        load_checkpoint(second, trusted_key=trusted_key) as other,
    ):
        result = Comparison(one.prefix, other.prefix)
        pairs = pairs_of(one, other)
        sizes = [_size(one, pair) for pair in pairs]
        total, done = sum(sizes), 0
        for start, stop in _batches(sizes):
            batch = pairs[start:stop]
            one.check(p.first for p in batch if p.first and p.second)
            other.check(p.second for p in batch if p.first and p.second)
            for pair, size in zip(batch, sizes[start:stop], strict=True):
                result.differences.append(_compare(one, other, pair, tolerance))
                if progress is not None and pair.first and pair.second:
                    done += size
                    progress(done, total, pair.first)
    add_candidates(result)
    return result


def _size(reader: CheckpointReader, pair: ValuePair) -> int:
    """The bytes of the first that are compared."""
    return reader.stored(pair.first).nbytes if pair.first and pair.second else 0


def _batches(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """Portions, from and to, that stay in memory from their check to their comparison."""
    start = size = 0
    for position, more in enumerate(sizes, 1):
        size += more
        if size >= _BATCH_SIZE or position == len(sizes):
            yield start, position
            start, size = position, 0


def _compare(
    one: CheckpointReader, other: CheckpointReader, pair: ValuePair, tolerance: float
) -> Difference:
    first, second = _info(one, pair.first), _info(other, pair.second)
    entry = Difference(
        pair.path, pair.attribute, Verdict.EQUAL, first, second, pair.first, pair.second
    )
    if pair.first is None or pair.second is None:
        entry.verdict = Verdict.ONLY_IN_FIRST if pair.first else Verdict.ONLY_IN_SECOND
    elif first != second:
        entry.verdict = Verdict.MISMATCH
    else:
        entry.elements = math.prod(one.shape(pair.first))
        a, b = _contents(one, pair.first), _contents(other, pair.second)
        if a is None or b is None:
            is_equal = one.get_bytes(pair.first) == other.get_bytes(pair.second)
            entry.count = 0 if is_equal else None
        else:
            entry.count, entry.largest = difference(a, b, tolerance)
            if entry.count and entry.elements == 1:
                entry.contents = (a.reshape(-1)[0], b.reshape(-1)[0])
        if entry.count != 0:
            entry.verdict = Verdict.CHANGED
    return entry


def _info(reader: CheckpointReader, key: str | None) -> ValueInfo | None:
    if key is None:
        return None
    try:
        name = dtype_name(reader.dtype(key))
    except CheckpointUnsupportedError:  # a variant, say
        name = reader.stored(key).dtype
    return ValueInfo(name, reader.shape(key))


def _contents(reader: CheckpointReader, key: str) -> npt.NDArray[Any] | None:
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
