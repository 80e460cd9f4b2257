"""Hands restored contents to the values that take them as fresh arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from checkpointable.graph.memory import aligned_empty
from checkpointable.graph.value import ANY, STRING, VARIANT, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from checkpointable.restore.parts import Reader
    from checkpointable.restore.restore import Verify

__all__ = ["in_batches", "write_values"]

# As much is read at once, on several threads, before it is handed over: what is read and not
# yet handed over is memory that the program would not need otherwise.
_BATCH_SIZE = 128 << 20


def write_values(reader: Reader, values: Iterable[tuple[str, Value]], verify: Verify) -> None:
    """Calls `write` of each value with a fresh array of what `reader` holds under its key."""
    plain: list[tuple[str, Value]] = []
    for key, value in values:
        if value.dtype == VARIANT:
            value.write(reader.get_variants(key))
        elif value.dtype in (STRING, ANY):
            value.write(reader.get_tensor(key))
        else:
            plain.append((key, value))
    how = "stream" if verify == "stream" else False
    for batch in in_batches(reader, plain):
        targets = [(key, aligned_empty(reader.shape(key), value.dtype)) for key, value in batch]
        reader.read_into(targets, verify=how)  # type: ignore[arg-type]
        for (_, value), (_, array) in zip(batch, targets, strict=True):
            value.write(array)


def in_batches(
    reader: Reader, values: Iterable[tuple[str, Value]]
) -> Iterator[list[tuple[str, Value]]]:
    """The values in groups of not much more than can well be in memory twice."""
    batch: list[tuple[str, Value]] = []
    size = 0
    for key, value in values:
        batch.append((key, value))
        size += value.dtype.itemsize * math.prod(reader.shape(key))
        if size >= _BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
