"""Parts of partitioned values, read by name (S38).

A partitioned variable is several variables, each a part of one value of the checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle import BundleReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from checkpointable.graph.value import Part, Value

__all__ = ["PartReader", "Reader"]

Array = np.ndarray[Any, np.dtype[Any]]


class PartReader:
    """A reader that also has parts of values, under keys of their own.

    Attributes:
      prefix: the checkpoint.
    """

    def __init__(self, reader: BundleReader) -> None:
        self.prefix = reader.prefix
        self._reader = reader
        self._parts: dict[str, tuple[str, Part]] = {}

    def key(self, name: str, value: Value) -> str:
        """The key of what `value` is to be restored from: `name`, or that of its part."""
        part = value.part_of
        if part is None or self._reader.shape(name) != part.shape:
            return name  # what is no part of this does not fit, and is said not to
        key = f"{name}\0{part.extents}"
        self._parts[key] = name, part
        return key

    def _name(self, key: str) -> str:
        return self._parts[key][0] if key in self._parts else key

    def dtype(self, key: str) -> np.dtype[Any]:
        """As `BundleReader.dtype`."""
        return self._reader.dtype(self._name(key))

    def entry(self, key: str) -> Any:
        """As `BundleReader.entry`, of the whole."""
        return self._reader.entry(self._name(key))

    def shape(self, key: str) -> tuple[int, ...]:
        """As `BundleReader.shape`; of a part, its own."""
        if key in self._parts:
            return tuple(length for _, length in self._parts[key][1].extents)
        return self._reader.shape(key)

    def kind(self, key: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """As `BundleReader.kind`; of a part, its own."""
        return self.dtype(key), self.shape(key)

    def check(self, keys: Iterable[str]) -> None:
        """As `BundleReader.check`; of a part, the whole is verified."""
        self._reader.check(dict.fromkeys(map(self._name, keys)))

    def get_tensor(self, key: str) -> Any:
        """As `BundleReader.get_tensor`."""
        if key not in self._parts:
            return self._reader.get_tensor(key)
        name, part = self._parts[key]
        return np.asarray(self._reader.get_tensor(name))[part.slices].copy()

    def get_variants(self, key: str) -> Array:
        """As `BundleReader.get_variants`."""
        return self._reader.get_variants(key)

    def read_into(self, targets: Iterable[tuple[str, Array]], verify: Any = False) -> None:
        """As `BundleReader.read_into`."""
        plain = []
        parts: dict[str, list[tuple[Part, Array]]] = {}
        for key, array in targets:
            if key in self._parts:
                name, part = self._parts[key]
                parts.setdefault(name, []).append((part, array))
            else:
                plain.append((key, array))
        self._reader.read_into(plain, verify=verify)
        for name, own in parts.items():
            whole = np.asarray(self._reader.get_tensor(name))
            for part, array in own:
                array[...] = whole[part.slices]


Reader = BundleReader | PartReader
"""What values are restored from."""
