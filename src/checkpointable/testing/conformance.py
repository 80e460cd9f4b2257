"""What every storage has to do, as tests: for storages of third parties, and for ours.

A test class of yours derives from `StorageConformance` and says what to test; pytest does
the rest:

    class TestMyStorage(StorageConformance):
        @pytest.fixture
        def storage(self):
            return MyStorage(…)

        @pytest.fixture
        def directory(self, tmp_path):
            return str(tmp_path)                  # an empty directory that exists
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from checkpointable.bundle import BundleReader, DataType, ValueToWrite, write_bundle
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIOError,
    CheckpointNotFoundError,
)
from checkpointable.storage import Storage, link_or_copy, replace_file

__all__ = ["StorageConformance"]

_THREADS = 4
_PIECE = 64


@contextmanager
def _raises(kind: type[CheckpointError], path: str) -> Iterator[None]:
    """The block raises an error of this kind that names the path."""
    raised: CheckpointError | None = None
    try:
        yield
    except CheckpointError as error:
        raised = error
    assert isinstance(raised, kind), f"{kind.__name__} is expected, not {raised!r}"
    assert path in str(raised), f"the error does not name {path!r}: {raised}"


def _put(storage: Storage, path: str, contents: bytes) -> None:
    file = storage.create(path, len(contents))
    file.write_at(contents, 0)
    file.close()


def _get(storage: Storage, path: str) -> bytes:
    with storage.open(path) as file:
        return file.read(0, file.size)


def _values(number: int) -> list[ValueToWrite]:
    array = np.full(1000 + number, number, np.int32)
    return [ValueToWrite("v", DataType.DT_INT32, array.shape, lambda: array)]


class StorageConformance:
    """The tests; a subclass has the fixtures `storage` and `directory`."""

    # -- writing and reading ---------------------------------------------------------------

    def test_a_new_file_is_zeros_of_its_size(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/f"
        storage.create(path, 10).close()
        assert _get(storage, path) == bytes(10)

    def test_a_file_is_written_in_any_order(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/f"
        file = storage.create(path, 6)
        assert file.path == path
        file.write_at(memoryview(b"ef"), 4)
        file.write_at(bytearray(b"cd"), 2)
        file.write_at(b"ab", 0)
        file.write_at(b"", 3)
        file.begin_sync(0, 6)
        file.sync()
        file.close()
        file.close()
        assert _get(storage, path) == b"abcdef"

    def test_arrays_are_written_as_their_bytes(self, storage: Storage, directory: str) -> None:
        array = np.arange(6, dtype=np.int16).reshape(2, 3)
        file = storage.create(f"{directory}/f", array.nbytes)
        file.write_at(array.data.cast("B"), 0)
        file.close()
        assert _get(storage, f"{directory}/f") == array.tobytes()

    def test_threads_write_one_file(self, storage: Storage, directory: str) -> None:
        path, count = f"{directory}/f", 40 * _THREADS
        file = storage.create(path, count * _PIECE)

        def write(first: int) -> None:
            for i in range(first, count, _THREADS):
                file.write_at(bytes((i % 256,)) * _PIECE, i * _PIECE)

        threads = [threading.Thread(target=write, args=(i,)) for i in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        file.close()
        assert _get(storage, path) == b"".join(bytes((i % 256,)) * _PIECE for i in range(count))

    def test_reading_parts(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/f"
        _put(storage, path, b"0123456789")
        with storage.open(path) as file:
            assert (file.path, file.size) == (path, 10)
            assert file.read(3, 4) == b"3456"
            assert file.read(10, 0) == b""
            view = file.map()
            assert bytes(view) == b"0123456789"
            assert view.readonly
            with _raises(CheckpointCorruptError, path):
                file.read(8, 3)
            buffer = memoryview(bytearray(6))
            file.read_into(4, buffer[1:5])
            file.read_into(10, buffer[:0])
            assert bytes(buffer) == b"\x004567\x00"
            with _raises(CheckpointCorruptError, path):
                file.read_into(8, buffer)
        file.close()
        assert bytes(view[2:4]) == b"23", "a view lives on after close"

    def test_an_empty_file(self, storage: Storage, directory: str) -> None:
        storage.create(f"{directory}/f", 0).close()
        with storage.open(f"{directory}/f") as file:
            assert file.size == 0
            assert bytes(file.map()) == b""

    # -- names -----------------------------------------------------------------------------

    def test_creation_is_exclusive(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/f"
        _put(storage, path, b"mine")
        with _raises(CheckpointIOError, path):
            storage.create(path, 4)
        assert _get(storage, path) == b"mine"

    def test_abort_takes_the_file_away(self, storage: Storage, directory: str) -> None:
        file = storage.create(f"{directory}/f", 4)
        file.abort()
        file.abort()
        assert storage.list(directory) == []

    def test_abort_after_close_does_nothing(self, storage: Storage, directory: str) -> None:
        file = storage.create(f"{directory}/f", 4)
        file.close()
        file.abort()
        assert storage.list(directory) == ["f"]

    def test_what_is_not_there(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/none"
        with _raises(CheckpointNotFoundError, path):
            storage.open(path)
        with _raises(CheckpointNotFoundError, path):
            storage.delete(path)
        with _raises(CheckpointNotFoundError, path):
            storage.list(path)
        with _raises(CheckpointNotFoundError, path):
            storage.create(f"{path}/f", 1)
        assert storage.identity(path) is None
        assert not storage.exists(path)
        assert not storage.is_directory(path)
        assert storage.delete_if_unused(path)

    def test_renaming_replaces(self, storage: Storage, directory: str) -> None:
        a, b = f"{directory}/a", f"{directory}/b"
        _put(storage, a, b"new")
        _put(storage, b, b"old")
        storage.rename(a, b)
        assert storage.list(directory) == ["b"]
        assert _get(storage, b) == b"new"

    def test_an_open_file_may_be_renamed_and_closed(self, storage: Storage, directory: str) -> None:
        file = storage.create(f"{directory}/a", 3)
        file.write_at(b"new", 0)
        storage.rename(f"{directory}/a", f"{directory}/b")
        file.close()
        assert storage.list(directory) == ["b"]
        assert _get(storage, f"{directory}/b") == b"new"

    def test_what_is_open_stays_readable(self, storage: Storage, directory: str) -> None:
        a, b = f"{directory}/a", f"{directory}/b"
        _put(storage, a, b"old")
        file = storage.open(a)
        _put(storage, b, b"newer")
        storage.rename(b, a)
        assert file.read(0, 3) == b"old"
        storage.delete(a)
        assert bytes(file.map()) == b"old"
        file.close()

    def test_identity_tells_files_apart(self, storage: Storage, directory: str) -> None:
        a, b = f"{directory}/a", f"{directory}/b"
        _put(storage, a, b"one")
        with storage.open(a) as file:
            assert file.identity == storage.identity(a)
            first = file.identity
            _put(storage, b, b"two")
            storage.rename(b, a)
            assert storage.identity(a) != first

    def test_links(self, storage: Storage, directory: str) -> None:
        a, b = f"{directory}/a", f"{directory}/b"
        _put(storage, a, b"contents")
        with storage.open(a) as file:
            same = link_or_copy(storage, file, b, sync=True)
            assert same == (storage.identity(a) == storage.identity(b))
        storage.delete(a)
        assert _get(storage, b) == b"contents"
        if same:
            with _raises(CheckpointIOError, b):
                _put(storage, a, b"x")
                storage.link(a, b, sync=False)

    def test_listing_is_sorted(self, storage: Storage, directory: str) -> None:
        for name in ("b", "a", ".c", "a.b"):
            _put(storage, f"{directory}/{name}", b"")
        assert storage.list(directory) == sorted(["b", "a", ".c", "a.b"])

    def test_directories(self, storage: Storage, directory: str) -> None:
        deep = f"{directory}/x/y"
        for sync in (True, False):
            storage.make_directories(deep, sync=sync)
        assert storage.is_directory(deep)
        assert storage.is_directory(f"{directory}/x")
        assert storage.list(f"{directory}/x") == ["y"]
        _put(storage, f"{deep}/f", b"")
        assert not storage.is_directory(f"{deep}/f")
        storage.sync_directory(deep)
        with _raises(CheckpointError, f"{deep}/f"):
            storage.make_directories(f"{deep}/f")

    def test_a_relative_path_is_the_same_place(self, storage: Storage, directory: str) -> None:
        whole, relative = f"{directory}/f", os.path.relpath(f"{directory}/f")
        _put(storage, whole, b"1")
        assert _get(storage, relative) == b"1"
        assert storage.exists(relative)
        assert storage.list(os.path.relpath(directory)) == ["f"]
        storage.delete(relative)
        assert not storage.exists(whole)

    # -- writers ---------------------------------------------------------------------------

    def test_a_live_writers_file_is_left_alone(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/f"
        file = storage.create(path, 1)
        assert not storage.delete_if_unused(path)
        assert storage.exists(path)
        file.close()
        if storage.delete_if_unused(path):  # a storage without locks may go by age
            assert not storage.exists(path)

    def test_the_lock_of_a_directory_excludes(self, storage: Storage, directory: str) -> None:
        inside = 0
        most = 0

        def work() -> None:
            nonlocal inside, most
            for _ in range(20):
                with storage.lock_directory(directory):
                    inside += 1
                    most = max(most, inside)
                    storage.list(directory)
                    inside -= 1

        threads = [threading.Thread(target=work) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1
        assert storage.list(directory) == [], "a lock leaves no file behind"

    # -- what the library does with it -----------------------------------------------------

    def test_files_are_replaced_whole(self, storage: Storage, directory: str) -> None:
        for contents in (b"one", b"another"):
            replace_file(storage, f"{directory}/f", contents)
            assert _get(storage, f"{directory}/f") == contents
        assert storage.list(directory) == ["f"]

    def test_checkpoints_are_saved_over_one_another(self, storage: Storage, directory: str) -> None:
        prefix = f"{directory}/a/ck"
        for number in (1, 2, 3):
            write_bundle(prefix, _values(number), storage=storage)
            with BundleReader(prefix, storage) as reader:
                assert reader.verify() == []
                assert int(reader.get_tensor("v")[0]) == number
            assert len(storage.list(f"{directory}/a")) in {2, 3}

    def test_threads_that_save_one_prefix_do_not_mix(
        self, storage: Storage, directory: str
    ) -> None:
        prefix = f"{directory}/ck"
        failures: list[BaseException] = []

        def save(number: int) -> None:
            try:
                for _ in range(3):
                    write_bundle(prefix, _values(number), storage=storage, threads=1)
            except BaseException as error:  # noqa: BLE001 - told to the main thread
                failures.append(error)

        threads = [threading.Thread(target=save, args=(i,)) for i in range(1, _THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        with BundleReader(prefix, storage) as reader:
            assert reader.verify() == []
        assert not [name for name in storage.list(directory) if name.startswith(".")]
