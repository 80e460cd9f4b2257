"""Compares two checkpoints, value by value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from checkpointable.common.deprecation import renamed_options
from checkpointable.common.scalar_strings import array_of_contents
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

_BATCH_SIZE = 1 << 26  # bytes that are verified at once


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
    """Compares the values of two checkpoints.

        result = cp.compare_checkpoints("runs/a/ckpt-7", "runs/b/ckpt-7")
        result.equal
        [d.path for d in result if d.verdict is cp.Verdict.CHANGED]

    Values are matched by object, as a restore matches them: from the root along edges of the same
    local name, and slots by optimizer and variable. Name-based checkpoints are matched by name; if
    only one has an object graph, the names of the other count as paths.

    Two elements are equal if their numbers are equal or both are NaN. Every value is verified
    before it is compared. Large values are compared in chunks, without loading them into memory.

    Args:
      first, second: a checkpoint prefix, an `.index` file, or a directory, which stands for its
        latest checkpoint.
      tolerance: the absolute difference up to which two elements are equal.
      progress: called with (bytes done, bytes in total, key); counts the bytes of `first`.
      trusted_key: the key that must have signed both, as in `load_checkpoint`.
      storage: the storage of the files. None: the default storage, which `use_storage` sets.

    Returns:
      A `Comparison` with one `Difference` per value, equal values included.

    Raises:
      CheckpointNotFoundError, CheckpointSignatureError: As in `load_checkpoint`.
      CheckpointCorruptError: As in `load_checkpoint`, or a value is damaged.
      ValueError: `tolerance` is negative or NaN.
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
    """Returns the number of bytes to compare, counted in the first checkpoint."""
    return reader.stored(pair.first).nbytes if pair.first and pair.second else 0


def _batches(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """Yields (start, stop) of batches small enough to stay cached between check and comparison."""
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
    except CheckpointUnsupportedError:  # a variant, for example
        name = reader.stored(key).dtype
    return ValueInfo(name, reader.shape(key))


def _contents(reader: CheckpointReader, key: str) -> npt.NDArray[Any] | None:
    """Returns a value, mapped from its file if possible; None for an opaque value."""
    try:
        return reader.view(key)
    except CheckpointUnsupportedError:
        try:
            return array_of_contents(reader.get_tensor(key))
        except CheckpointUnsupportedError:
            return None
