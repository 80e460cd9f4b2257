"""Hands restored contents to the values that take them as fresh arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from checkpointable.graph.memory import aligned_empty
from checkpointable.graph.value import ANY, STRING, VARIANT, AtOnce, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.restore.by_name.parts import Reader

__all__ = ["in_batches", "write_values"]

# As much is read at once, on several threads, before it is handed over: what is read and not
# yet handed over is memory that the program would not need otherwise.
_BATCH_SIZE = 32 << 20


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
    reader: Reader, values: Iterable[tuple[str, Value]]
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
