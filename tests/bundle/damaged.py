"""Ways to damage files, and to see that they are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from checkpointable.bundle import BundleReader, DataType
from checkpointable.errors import CheckpointCorruptError, CheckpointError

DATA = ".data-00000-of-00001"
F4 = DataType.DT_FLOAT


def read_all(prefix):
    """Opens, verifies and reads everything; the arrays, unchanged if this raises."""
    with BundleReader(prefix) as reader:
        into = {key: np.zeros(reader.shape(key), reader.dtype(key)) for key in reader.keys()}
        try:
            reader.read_into(into.items(), verify=True)
        except CheckpointError:
            assert not any(array.any() for array in into.values())
            raise
        return into


def refused(prefix, error=CheckpointCorruptError):
    with pytest.raises(error) as caught:
        read_all(prefix)
    assert caught.value.path is not None
    assert str(prefix) in caught.value.path
    return caught.value


def change(path, at, byte=None):
    data = bytearray(Path(path).read_bytes())
    data[at] = data[at] ^ 1 if byte is None else byte
    Path(path).write_bytes(data)
