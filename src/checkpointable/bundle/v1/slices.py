"""Reads values of a V1 checkpoint slice by slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle.dtypes import numpy_dtype
from checkpointable.bundle.slices import slice_key, tiles
from checkpointable.bundle.v1.values import decode_part, is_stored
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.bundle.v1.contents import V1Contents, V1Slice
    from checkpointable.bundle.v1.table import Stretch

__all__ = ["V1Slices"]


class V1Slices:
    """Reads and verifies values of a V1 checkpoint; see `V1Reader`.

    Args:
      contents: The open files and the values that they list.
    """

    def __init__(self, contents: V1Contents) -> None:
        self._contents = contents

    def dtype(self, key: str) -> np.dtype[Any]:
        """Returns the NumPy dtype of a value; see `BundleReader.dtype`."""
        try:
            return numpy_dtype(self._contents.value(key).dtype)
        except CheckpointUnsupportedError as error:
            prefix = self._contents.prefix
            raise CheckpointUnsupportedError(error.what, path=prefix, key=key) from None

    def read(self, key: str) -> npt.NDArray[Any]:
        """Reads and verifies a value into a new array.

        Raises:
          CheckpointCorruptError: It is damaged.
          CheckpointUnsupportedError: NumPy has no such dtype, or not as many dimensions.
        """
        value, dtype = self._contents.value(key), self.dtype(key)
        if len(value.slices) == 1:
            self.check_covered(key)
            # A copy: the slice may lie in a block, which must neither change nor be kept.
            array = np.array(self._read_slice(key, value.slices[0]), dtype)
            return self._shaped(key, array, value.shape)
        # Check all slices before allocating memory: a hostile file may claim any shape.
        self.check(key)
        result = self._shaped(key, np.empty(value.elements, dtype), value.shape)
        for part in value.slices:
            where = tuple(slice(start, start + length) for start, length in part.resolved)
            shape = tuple(length for _, length in part.resolved)
            result[where] = self._read_slice(key, part).reshape(shape)
        return result

    def check(self, key: str) -> None:
        """Verifies a value, and that its slices cover it.

        Raises:
          CheckpointCorruptError: It is damaged.
        """
        self.check_covered(key)
        for part in self._contents.value(key).slices:
            self._read_slice(key, part)
        self.check_tiled(key)

    def check_covered(self, key: str) -> None:
        """Checks the number of elements of the slices of a value."""
        value = self._contents.value(key)
        if sum(part.elements for part in value.slices) != value.elements:
            raise self._uncovered(key)

    def check_tiled(self, key: str) -> None:
        """Checks that the slices of a value cover it, each element once.

        Uses one byte of memory per element, so the number of elements must be verified before.
        """
        value = self._contents.value(key)
        if len(value.slices) > 1 and not tiles([p.resolved for p in value.slices], value.shape):
            raise self._uncovered(key)

    def _uncovered(self, key: str) -> CheckpointCorruptError:
        value = self._contents.value(key)
        return CheckpointCorruptError(
            f"its {len(value.slices)} parts do not cover the shape {value.shape}, each element "
            "once: a file of the checkpoint is missing, or was never written",
            path=self._contents.prefix,
            key=key,
        )

    def _shaped(
        self, key: str, array: npt.NDArray[Any], shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        try:
            return array.reshape(shape)
        except ValueError as error:
            raise CheckpointUnsupportedError(
                f"NumPy has no array of the shape {shape}: {error}",
                path=self._contents.prefix,
                key=key,
            ) from None

    def _read_slice(self, key: str, part: V1Slice) -> npt.NDArray[Any]:
        self._contents.require_open()
        value = self._contents.value(key)
        if not is_stored(value.dtype):
            raise self._contents.unsupported(
                f"it cannot store values of dtype {value.dtype.name}", key
            )
        table = self._contents.tables[part.shard]
        try:
            stretch = table.find(slice_key(key, part.extents))
        except CheckpointCorruptError as error:
            error.key = key
            raise
        if stretch is None:
            raise CheckpointCorruptError(
                f"its part {part.extents} is listed, but not in the file", path=table.path, key=key
            )
        return self.decode(key, part, stretch)

    def decode(self, key: str, part: V1Slice, stretch: Stretch) -> npt.NDArray[Any]:
        """Decodes the elements of a slice from its bytes.

        Raises:
          CheckpointCorruptError: The bytes are not those of the slice.
        """
        dtype = self._contents.value(key).dtype
        data, start, end = stretch.data, stretch.start, stretch.end
        try:
            return decode_part(data, (start, end), key, dtype, part.extents, part.elements)
        except Malformed as error:
            raise CheckpointCorruptError(
                error.what,
                path=self._contents.tables[part.shard].path,
                key=key,
                offset=stretch.where(error.position),
            ) from None
