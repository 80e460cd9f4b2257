"""The suite of readers that ships, for every format that ships."""

from __future__ import annotations

import json
from types import MappingProxyType

import numpy as np
import pytest
import torch

import checkpointable as cp
from checkpointable.bundle.reading.reader import BundleReader
from checkpointable.readers.foreign import ArrayReader, write_safetensors
from checkpointable.testing import ReaderConformance
from tests.bundle.helpers import save
from tests.bundle.test_tensorflow import partitioned
from tests.v1.helpers import write_v1


def _damage(path: str, array: np.ndarray) -> None:
    with open(path, "r+b") as file:
        offset = file.read().index(array[500:504].tobytes())
        file.seek(offset)
        file.write(bytes(4))


class OfFiles(ReaderConformance):
    """A file in `tmp_path`, or several, each call's in a directory of its own."""

    @pytest.fixture
    def write(self, tmp_path):
        count = 0

        def write(values):
            nonlocal count
            count += 1
            directory = tmp_path / str(count)
            directory.mkdir()
            return str(self.put(directory, values))

        return write

    def test_a_reader_shows_its_path(self, write):
        path = write({"a": np.zeros(2, "float32")})
        with self.open(path) as reader:
            assert repr(reader) == f"<{type(reader).__name__} {path!r}>"


class TestBundle(OfFiles):
    dtypes = (*ReaderConformance.dtypes, "float16", "complex64", "bfloat16", "int8", "uint64")
    has_strings = True

    def put(self, directory, values):
        return save(directory / "ck", values)

    def damage(path, array):
        _damage(f"{path}.data-00000-of-00001", array)


class TestMappedBundle(TestBundle):
    """Values are arrays on the file, unverified: what is said of that does not hold."""

    test_a_value_belongs_to_the_caller = None
    test_damage_raises_when_a_value_is_read = None

    def open(self, path):
        return cp.load_checkpoint(path, mmap=True)


class TestSignedBundle(TestBundle):
    KEY = bytes(range(32))

    def put(self, directory, values):
        prefix = super().put(directory, values)
        cp.write_manifest(prefix, self.KEY)
        return prefix

    def open(self, path):
        return cp.load_checkpoint(path, trusted_key=self.KEY)

    # A manifest has hashes of chunks: the error names the file and not the value, and it comes
    # before a checksum is compared, so nothing can be listed.
    test_damage_raises_when_a_value_is_read = None
    test_damage_is_listed = None


class TestV1(OfFiles):
    dtypes = (*ReaderConformance.dtypes, "float16", "complex128", "int8", "uint16")
    has_strings = True

    def put(self, directory, values):
        return write_v1(directory / "model.ckpt", values)

    damage = _damage


class TestSafetensors(OfFiles):
    dtypes = (*ReaderConformance.dtypes, "float16", "complex64", "bfloat16", "int8", "uint64")

    def put(self, directory, values):
        write_safetensors(str(directory / "x.safetensors"), values)
        return directory / "x.safetensors"


class TestShardedSafetensors(OfFiles):
    def put(self, directory, values):
        names = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(values)}
        for file in set(names.values()):
            part = {name: array for name, array in values.items() if names[name] == file}
            write_safetensors(str(directory / file), part)
        path = directory / "model.safetensors.index.json"
        path.write_text(json.dumps({"metadata": {}, "weight_map": names}))
        return path


class TestTorchZip(OfFiles):
    dtypes = (*ReaderConformance.dtypes, "float16", "bfloat16", "complex64", "int8")
    options = MappingProxyType({})

    def put(self, directory, values):
        tensors = {name: _tensor(array) for name, array in values.items()}
        torch.save(tensors, directory / "m.pt", **self.options)
        return directory / "m.pt"

    damage = _damage
    # A checksum is that of a record, which the error names, and not of a tensor.
    test_damage_raises_when_a_value_is_read = None


class TestTorchPickle(TestTorchZip):
    options = MappingProxyType({"_use_new_zipfile_serialization": False})
    damage = None


class TestArraysInMemory(ReaderConformance):
    """What a third party's format may use."""

    @pytest.fixture
    def write(self):
        def write(values):
            self.arrays = {name: array.copy() for name, array in values.items()}
            return "x"

        return write

    def open(self, path):
        return ArrayReader(path, self.arrays)


def _tensor(array):
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def test_a_partitioned_value_is_described_as_a_whole(tmp_path):
    extents = (((0, 3),), ((3, 1),))
    with BundleReader(partitioned(tmp_path, extents)) as reader:
        (key,) = reader.keys()
        stored, locations = reader.stored(key), reader.locations(key)
    assert (stored.nbytes, stored.checksum) == (4, None)
    assert [(at.extents, at.size) for at in locations] == [(extents[0], 3), (extents[1], 1)]
