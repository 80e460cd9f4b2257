"""Assigns stored values to the program's objects: into their memory, else as fresh arrays."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from checkpointable.bundle.variants import decode_variants
from checkpointable.common.gc_pause import collector_paused
from checkpointable.errors import CheckpointCorruptError
from checkpointable.graph.dtypes import ANY, STRING, VARIANT
from checkpointable.graph.memory import aligned_empty
from checkpointable.graph.value import AtOnce, ValueSpec, ValueTarget
from checkpointable.restore.progress import steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.readers.reader import ValueReader
    from checkpointable.restore.progress import RestoreProgress

__all__ = ["assign_values", "in_batches", "key_of", "write_values"]

# Bytes that are read at once, on several threads, before they are assigned: additional memory that
# the restore needs.
_BATCH_SIZE = 32 << 20


def assign_values(
    reader: ValueReader,
    values: Sequence[tuple[str, ValueSpec]],
    verify: Verify,
    uid: int,
    progress: RestoreProgress | None = None,
) -> None:
    """Assigns stored values that were checked to fit, except those that an executor restores.

    Args:
      reader: the checkpoint.
      values: (key, value) pairs.
      verify: "stream" verifies the values as they are read. If True, they were verified before.
      uid: the uid of the restore.
      progress: the progress to advance, or None.

    Raises:
      CheckpointCorruptError: A value is damaged. With `verify="stream"`, others may be assigned.
    """
    in_memory: list[tuple[str, Any]] = []
    to_fill: list[ValueTarget] = []
    to_write: list[tuple[str, ValueTarget]] = []
    with collector_paused():
        # What no executor acts for is a target.
        targets = cast("Sequence[tuple[str, ValueTarget]]", values)
        for key, value in targets:
            if value.executor is not None:
                continue
            if value.memory is None:
                to_write.append((key, value))
            else:
                in_memory.append((key, value.memory))
                to_fill.append(value)
    # Before memory is filled: `write` may raise.
    with _unverified(verify, "some of the other values may have been assigned"):
        for written in steps(progress, to_write, key_of):
            write_values(reader, written, verify)
    for _, value in to_write:
        value.settle(uid)
    how: Verify = "stream" if verify == "stream" else False
    with _unverified(
        verify, "the values before it in the files, and perhaps some after it, were assigned"
    ):
        for filled in steps(progress, in_memory, key_of):
            reader.read_into(filled, verify=how)
    for value in to_fill:
        value.filled()


def key_of(pair: tuple[str, Any]) -> str:
    """Returns the key of a (key, value) or (key, array) pair."""
    return pair[0]


@contextmanager
def _unverified(verify: Verify, what: str) -> Iterator[None]:
    """Adds to a `CheckpointCorruptError` that values may have been assigned before it."""
    try:
        yield
    except CheckpointCorruptError as error:
        if verify is not True:
            error.what += f"; with verify={verify!r} {what}"
        raise


def write_values(
    reader: ValueReader, values: Iterable[tuple[str, ValueTarget]], verify: Verify
) -> None:
    """Calls `write` of each value with a new array that holds its contents."""
    plain: list[tuple[str, ValueTarget]] = []
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
        together: dict[AtOnce, tuple[list[ValueTarget], list[Any]]] = {}
        targets.reverse()
        for _, value, _ in batch:
            array = targets.pop()[1]  # no other reference: the value may keep or drop the array
            at_once = value.at_once
            if at_once is None:
                value.write(array)
            else:
                group, arrays = together.setdefault(at_once, ([], []))
                group.append(value)
                arrays.append(array)
        for at_once, (group, arrays) in together.items():
            at_once.write(group, arrays)


def in_batches(
    reader: ValueReader, values: Iterable[tuple[str, ValueTarget]]
) -> Iterator[list[tuple[str, ValueTarget, tuple[int, ...]]]]:
    """Yields batches of (key, value, stored shape) that are small enough to copy at once.

    A value that is larger than a batch is alone in its batch.
    """
    batch: list[tuple[str, ValueTarget, tuple[int, ...]]] = []
    size = 0
    for key, value in values:
        shape = value.shape
        if shape is None or None in shape:  # any other shape was compared with the stored one
            shape = reader.shape(key)
        known = cast("tuple[int, ...]", shape)
        nbytes = value.dtype.itemsize * math.prod(known)
        if batch and size + nbytes > _BATCH_SIZE:
            yield batch
            batch, size = [], 0
        batch.append((key, value, known))
        size += nbytes
    if batch:
        yield batch
