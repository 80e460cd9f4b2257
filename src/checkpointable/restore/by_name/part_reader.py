"""Reads parts of partitioned values by name (S38).

A partitioned variable consists of several variables, each a part of one value in the checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.variants import decode_variants

if TYPE_CHECKING:
    from collections.abc import Iterable

    from checkpointable.graph.value import Part, ValueSpec
    from checkpointable.readers.reader import CheckpointReader, StoredValue

__all__ = ["PartReader"]

Array = np.ndarray[Any, np.dtype[Any]]


class PartReader:
    """A reader that also reads parts of values, under keys that `key` returns.

    Attributes:
      prefix: the checkpoint prefix.
    """

    def __init__(self, reader: CheckpointReader) -> None:
        self.prefix = reader.prefix
        self._reader = reader
        self._parts: dict[str, tuple[str, Part]] = {}

    def key(self, name: str, value: ValueSpec) -> str:
        """Returns the key to restore `value` from: `name`, or the key of its part."""
        part = value.part_of
        if part is None or self._reader.shape(name) != part.shape:
            return name  # not a part of this value: reported as a mismatch
        key = f"{name}\0{part.extents}"
        self._parts[key] = name, part
        return key

    def _name(self, key: str) -> str:
        return self._parts[key][0] if key in self._parts else key

    def dtype(self, key: str) -> np.dtype[Any]:
        """As `CheckpointReader.dtype`."""
        return self._reader.dtype(self._name(key))

    def stored(self, key: str) -> StoredValue:
        """As `CheckpointReader.stored`, for the whole value."""
        return self._reader.stored(self._name(key))

    def shape(self, key: str) -> tuple[int, ...]:
        """As `CheckpointReader.shape`; for a part, the part's shape."""
        if key in self._parts:
            return tuple(length for _, length in self._parts[key][1].extents)
        return self._reader.shape(key)

    def dtype_and_shape(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """As `CheckpointReader.dtype_and_shape`; for a part, the part's shape."""
        return self.dtype(key), self.shape(key)

    def check(self, keys: Iterable[str]) -> None:
        """As `CheckpointReader.check`; for a part, verifies the whole value."""
        self._reader.check(dict.fromkeys(map(self._name, keys)))

    def get_tensor(self, key: str) -> Any:
        """As `CheckpointReader.get_tensor`."""
        if key not in self._parts:
            return self._reader.get_tensor(key)
        name, part = self._parts[key]
        return np.asarray(self._reader.get_tensor(name))[part.slices].copy()

    def get_bytes(self, key: str) -> bytes:
        """As `CheckpointReader.get_bytes`."""
        return self._reader.get_bytes(self._name(key))

    def get_variants(self, key: str) -> Array:
        """As `Source.get_variants`."""
        return decode_variants(self.get_bytes(key), self.shape(key))

    def read_into(self, pairs: Iterable[tuple[str, Array]], verify: Any = False) -> None:
        """As `CheckpointReader.read_into`."""
        plain = []
        parts: dict[str, list[tuple[Part, Array]]] = {}
        for key, array in pairs:
            if key in self._parts:
                name, part = self._parts[key]
                parts.setdefault(name, []).append((part, array))
            else:
                plain.append((key, array))
        self._reader.read_into(plain, verify=verify)
        for name, targets in parts.items():
            whole = np.asarray(self._reader.get_tensor(name))
            for part, array in targets:
                array[...] = whole[part.slices]
