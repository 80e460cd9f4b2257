"""While a file is still being written, the disk is told to begin with what is there already."""

import numpy as np
import pytest

from checkpointable.bundle import BundleReader, parallel, write_bundle
from checkpointable.bundle.writing import values
from checkpointable.storage import LocalStorage
from checkpointable.storage.local import syncing
from tests.bundle.helpers import values_to_write

PORTION = 4096
SIZES = (0, 10, 7000, 300, 300, 2048, 12_289, 3)


class Told(LocalStorage):
    """Keeps what each file is told, in order."""

    def __init__(self):
        self.of = {}

    def create(self, path, size):
        file = super().create(path, size)
        told = self.of.setdefault(path, [])
        begin_sync, sync = file.begin_sync, file.sync

        def begin(offset, size):
            told.append((offset, size))
            begin_sync(offset, size)

        def whole():
            told.append("sync")
            sync()

        file.begin_sync, file.sync = begin, whole
        return file


@pytest.fixture
def portions(monkeypatch):
    monkeypatch.setattr(values, "SYNC_SIZE", PORTION)
    monkeypatch.setattr(values, "WRITE_CHUNK_SIZE", 1024)
    monkeypatch.setattr(values, "GATHERED_SIZE", 512)
    monkeypatch.setattr(parallel, "_PARALLEL_SIZE", 0)


def arrays():
    random = np.random.default_rng(1)
    return {f"v{i}": random.integers(0, 255, n, np.uint8) for i, n in enumerate(SIZES)}


def save(prefix, **options):
    storage = Told()
    write_bundle(prefix, values_to_write(arrays()), storage=storage, **options)
    (data,) = (told for path, told in storage.of.items() if ".data" in path)
    return data


@pytest.mark.parametrize("threads", [1, 3])
def test_each_part_once_and_in_order(tmp_path, portions, threads):
    *begun, last = save(f"{tmp_path}/ck", threads=threads)
    assert last == "sync"
    assert len(begun) >= 3
    position = 0
    for offset, size in begun:
        assert offset == position
        assert size >= PORTION
        position += size
    assert position <= sum(SIZES) + 64 * len(SIZES)
    with BundleReader(f"{tmp_path}/ck") as reader:
        for key, array in arrays().items():
            np.testing.assert_array_equal(reader.get_tensor(key), array)


def test_not_where_no_sync_follows(tmp_path, portions):
    assert save(f"{tmp_path}/ck", durability="flush") == []


def test_the_same_file_where_the_system_has_no_such_thing(tmp_path, portions, monkeypatch):
    save(f"{tmp_path}/with")
    monkeypatch.setattr(syncing, "_sync_file_range", lambda: None)
    assert "sync" in save(f"{tmp_path}/without")
    (one,), (other,) = tmp_path.glob("with.data*"), tmp_path.glob("without.data*")
    assert one.read_bytes() == other.read_bytes()


def test_nothing_is_raised_by_what_cannot_begin(tmp_path):
    file = LocalStorage().create(f"{tmp_path}/f", 10)
    file.begin_sync(0, 100)
    file.begin_sync(-5, -1)
    file.close()
    file.begin_sync(0, 10)
