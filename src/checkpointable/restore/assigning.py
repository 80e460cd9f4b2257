"""Assigns stored values to the program's objects: into their memory, else as fresh arrays."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from checkpointable.bundle.variants import decode_variants
from checkpointable.common.gc_pause import collector_paused
from checkpointable.errors import CheckpointCorruptError
from checkpointable.graph.memory import aligned_empty
from checkpointable.graph.value import ANY, STRING, VARIANT, AtOnce, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.readers.reader import ValueReader
    from checkpointable.restore.progress import RestoreProgress

__all__ = ["assign_values", "in_batches", "key_of", "write_values"]

# As much is read at once, on several threads, before it is handed over: what is read and not
# yet handed over is memory that the program would not need otherwise.
_BATCH_SIZE = 32 << 20


def assign_values(
    reader: ValueReader,
    values: Sequence[tuple[str, Value]],
    verify: Verify,
    uid: int,
    progress: RestoreProgress | None = None,
) -> None:
    """Assigns what `reader` holds under the keys; what fits has been checked by now.

    Where all was to be verified before the first assignment (`verify=True`), it has been.
    Values that an executor acts for are left to it.

    Args:
      uid: that of the restore.
    """
    in_memory: list[tuple[str, Any]] = []
    to_write: list[tuple[str, Value]] = []
    with collector_paused():
        for key, value in values:
            if value.executor is not None:
                continue
            if value.memory is not None:
                in_memory.append((key, value.memory))
            else:
                to_write.append((key, value))
    # First, since this is code that may refuse: filling memory is not.
    with _unverified(verify, "some of the values that are handed over are assigned by now"):
        for written in [to_write] if progress is None else progress.steps(to_write, key_of):
            write_values(reader, written, verify)
    for _, value in to_write:
        value.settle(uid)
    how: Verify = "stream" if verify == "stream" else False
    with _unverified(
        verify, "the values before it in the files are assigned by now, and maybe some after it"
    ):
        for filled in [in_memory] if progress is None else progress.steps(in_memory, key_of):
            reader.read_into(filled, verify=how)
    for _, value in values:
        if value.memory is not None and value.executor is None:
            value.filled()


def key_of(pair: tuple[str, Any]) -> str:
    """The key of a pair of a key and what is read under it."""
    return pair[0]


@contextmanager
def _unverified(verify: Verify, what: str) -> Iterator[None]:
    """Has an error of damage say what was assigned although not all was verified before."""
    try:
        yield
    except CheckpointCorruptError as error:
        if verify is not True:
            error.what += f"; with verify={verify!r} {what}"
        raise


def write_values(reader: ValueReader, values: Iterable[tuple[str, Value]], verify: Verify) -> None:
    """Calls `write` of each value with a fresh array of what `reader` holds under its key."""
    plain: list[tuple[str, Value]] = []
    for key, value in values:
        if value.dtype == VARIANT:
            value.write(decode_variants(reader.get_bytes(key), reader.shape(key)))
        elif value.dtype in (STRING, ANY):
            value.write(reader.get_tensor(key))
        else:
            plain.append((key, value))
    how = "stream" if verify == "stream" else False
    for batch in in_batches(reader, plain):
        targets = [(key, aligned_empty(shape, value.dtype)) for key, value, shape in batch]
        reader.read_into(targets, verify=how)  # type: ignore[arg-type]
        together: dict[AtOnce, tuple[list[Value], list[Any]]] = {}
        targets.reverse()
        for _, value, _ in batch:
            array = targets.pop()[1]  # whether that stays is up to the value
            at_once = value.at_once
            if at_once is None:
                value.write(array)
            else:
                own, arrays = together.setdefault(at_once, ([], []))
                own.append(value)
                arrays.append(array)
        for at_once, (own, arrays) in together.items():
            at_once.write(own, arrays)


def in_batches(
    reader: ValueReader, values: Iterable[tuple[str, Value]]
) -> Iterator[list[tuple[str, Value, tuple[int, ...]]]]:
    """The values, and the stored shapes, in groups that can well be in memory twice.

    One that is larger than such a group is alone.
    """
    batch: list[tuple[str, Value, tuple[int, ...]]] = []
    size = 0
    for key, value in values:
        shape = value.shape
        if shape is None or None in shape:  # what is known fits, or we would not be here
            shape = reader.shape(key)
        known = cast("tuple[int, ...]", shape)
        own = value.dtype.itemsize * math.prod(known)
        if batch and size + own > _BATCH_SIZE:
            yield batch
            batch, size = [], 0
        batch.append((key, value, known))
        size += own
    if batch:
        yield batch
