"""A disk that fails, or a file cut short, while it is read: an error, and no end of the process.

No restore goes through a mapped file, for which the system would send SIGBUS.
"""

import os
import re
from contextlib import contextmanager

import numpy as np
import pytest
from safetensors.numpy import save_file

import checkpointable as cp
from checkpointable.bundle import parallel
from checkpointable.bundle.reading import checks, transfer
from checkpointable.errors import CheckpointCorruptError, CheckpointIOError
from checkpointable.readers.foreign import arrays
from checkpointable.storage import LocalStorage
from checkpointable.testing import READS, FaultyStorage, RecordingStorage, use_storage
from checkpointable.testing.watched import WatchedStorage

WAYS = [True, "stream", False]


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    """Values of some kilobytes are read in several portions, by several threads."""
    for module, name in (
        *((parallel, "CHUNK_SIZE"), (checks, "CHUNK_SIZE"), (transfer, "CHUNK_SIZE")),
        *((checks, "READ_CHUNK_SIZE"), (transfer, "READ_CHUNK_SIZE")),
        (transfer, "STREAM_CHUNK_SIZE"),
    ):
        monkeypatch.setattr(module, name, 4096)
    for module in (parallel, checks, transfer):
        monkeypatch.setattr(module, "PIECE_SIZE", 1024)
    monkeypatch.setattr(parallel, "_PARALLEL_SIZE", 0)


def program(number):
    """Large and small values, and text."""
    return cp.Checkpoint(
        large=cp.Variable(np.full(5000, number, np.float32)),
        small=[cp.Variable(np.full(3, number)) for _ in range(5)],
        text=cp.Variable(np.array([b"text", b""], object)),
    )


def values(checkpoint):
    return checkpoint.large.numpy(), *(v.numpy() for v in checkpoint.small)


@pytest.mark.parametrize("verify", WAYS)
def test_a_restore_maps_no_file(tmp_path, verify):
    path = program(3).write(tmp_path / "ck")
    storage = RecordingStorage(kinds=READS)
    with use_storage(storage):
        restored = program(1)
        restored.read(path, verify=verify).assert_consumed()
    assert all((value == 3).all() for value in values(restored))
    kinds = [operation.kind for operation in storage.operations]
    assert "map" not in kinds
    assert kinds.count("read") > 5


@pytest.mark.parametrize("verify", WAYS)
def test_whichever_read_the_disk_fails(tmp_path, verify):
    path = program(3).write(tmp_path / "ck")
    reads = frozenset({"read"})
    counted = FaultyStorage(None, kinds=reads)
    with use_storage(counted):
        program(1).read(path, verify=verify).assert_consumed()
    for number in range(len(counted.operations)):
        restored = program(1)
        failing = FaultyStorage(number, kinds=reads)
        with use_storage(failing), pytest.raises(CheckpointIOError) as caught:
            restored.read(path, verify=verify)
        assert caught.value.path.startswith(str(tmp_path / "ck."))
        restored.read(path).assert_consumed()


class Cutting(WatchedStorage):
    """Cuts a file short before the n-th read of it, as a program does that writes in place."""

    def __init__(self, path, number):
        super().__init__(LocalStorage(), kinds=frozenset({"read"}))
        self.path = path
        self.left = number

    @contextmanager
    def around(self, operation):
        if operation.path == self.path:
            with self.lock:
                self.left -= 1
                if self.left < 0:
                    os.truncate(self.path, 100)
        yield


@pytest.mark.parametrize("verify", WAYS)
def test_a_file_that_is_cut_short_meanwhile(tmp_path, verify):
    path = program(3).write(tmp_path / "ck")
    (data,) = map(str, tmp_path.glob("ck.data*"))
    with open(data, "rb") as file:
        whole = file.read()
    with use_storage(counting := Cutting(data, 10**9)):
        program(1).read(path, verify=verify).assert_consumed()
    count = 10**9 - counting.left
    assert count > 5
    for number in range(count):
        with open(data, "wb") as file:
            file.write(whole)
        cutting = Cutting(data, number)
        with use_storage(cutting), pytest.raises(CheckpointCorruptError) as caught:
            program(1).read(path, verify=verify)
        assert caught.value.path == data
        assert re.search("the file ends after|cut short", str(caught.value))
        assert cutting.left < 0


def test_a_manager_goes_back_when_the_disk_fails(tmp_path):
    checkpoint = program(1)
    manager = cp.CheckpointManager(checkpoint, tmp_path, max_to_keep=3)
    older = manager.save()
    checkpoint.large.assign(np.full(5000, 2, np.float32))
    newest = manager.save()

    class Failing(FaultyStorage):
        @contextmanager
        def around(self, operation):
            if operation.path.startswith(f"{newest}.data"):
                raise CheckpointIOError.from_os_error(
                    OSError(5, "input/output error"), operation.kind, path=operation.path
                )
            yield

    restored = program(7)
    with use_storage(Failing(None, kinds=frozenset({"read"}))):
        again = cp.CheckpointManager(restored, tmp_path, max_to_keep=3)
        again.restore_latest_valid().assert_consumed()
    assert (restored.large.numpy() == 1).all()
    assert again.latest_checkpoint == older


def test_a_file_of_tensors_that_is_cut_short_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK_SIZE", 4096)
    path = str(tmp_path / "model.safetensors")
    save_file({"large": np.full(5000, 3, np.float32), "small": np.ones(3)}, path)
    with open(path, "rb") as file:
        whole = file.read()
    for number in range(3, 8):  # after the first bytes and the header
        with open(path, "wb") as file:
            file.write(whole)
        with (
            use_storage(Cutting(path, number)),
            cp.load_checkpoint(path) as reader,
            pytest.raises(CheckpointCorruptError, match="the file ends after") as caught,
        ):
            reader.get_tensor("large")
        assert caught.value.path == path
    with open(path, "wb") as file:
        file.write(whole)
    with cp.load_checkpoint(path) as reader:
        assert (reader.get_tensor("large") == 3).all()
        assert (reader.get_tensor("small") == 1).all()


def test_a_file_that_another_thread_closes_is_read_to_the_end(tmp_path, monkeypatch):
    """The number of its descriptor may be the next file's by then."""
    (tmp_path / "mine").write_bytes(b"m" * 100)
    (tmp_path / "other").write_bytes(b"o" * 100)
    file = LocalStorage().open(str(tmp_path / "mine"))
    preadv = os.preadv
    others = []

    def interrupted(number, buffers, offset):
        (buffer,) = buffers
        if not others:
            count = preadv(number, [buffer[:10]], offset)
            file.close()
            others.extend(LocalStorage().open(str(tmp_path / "other")) for _ in range(20))
            return count
        return preadv(number, buffers, offset)

    monkeypatch.setattr(os, "preadv", interrupted)
    buffer = memoryview(bytearray(100))
    file.read_into(0, buffer)
    assert bytes(buffer) == b"m" * 100
    with pytest.raises(CheckpointIOError, match="closed"):
        file.read_into(0, buffer)
    assert others
