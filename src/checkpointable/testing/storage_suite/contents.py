"""Conformance tests: writing and reading the contents of files."""

from __future__ import annotations

import numpy as np

from checkpointable.errors import CheckpointCorruptError
from checkpointable.storage import Storage
from checkpointable.testing.storage_suite.helpers import THREADS, get, put, raises, run_in_threads

__all__ = ["ContentsTests"]

_PIECE = 64


class ContentsTests:
    """Tests that files have the contents that were written to them."""

    def test_a_new_file_is_zeros_of_its_size(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/f"
        storage.create(path, 10).close()
        assert get(storage, path) == bytes(10)

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
        assert get(storage, path) == b"abcdef"

    def test_arrays_are_written_as_their_bytes(self, storage: Storage, directory: str) -> None:
        array = np.arange(6, dtype=np.int16).reshape(2, 3)
        file = storage.create(f"{directory}/f", array.nbytes)
        file.write_at(array.data.cast("B"), 0)
        file.close()
        assert get(storage, f"{directory}/f") == array.tobytes()

    def test_threads_write_one_file(self, storage: Storage, directory: str) -> None:
        path, count = f"{directory}/f", 40 * THREADS
        file = storage.create(path, count * _PIECE)

        def write(first: int) -> None:
            for i in range(first, count, THREADS):
                file.write_at(bytes((i % 256,)) * _PIECE, i * _PIECE)

        run_in_threads(write)
        file.close()
        assert get(storage, path) == b"".join(bytes((i % 256,)) * _PIECE for i in range(count))

    def test_reading_parts(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/f"
        put(storage, path, b"0123456789")
        with storage.open(path) as file:
            assert (file.path, file.size) == (path, 10)
            assert file.read(3, 4) == b"3456"
            assert file.read(10, 0) == b""
            view = file.map()
            assert bytes(view) == b"0123456789"
            assert view.readonly
            with raises(CheckpointCorruptError, path):
                file.read(8, 3)
            buffer = memoryview(bytearray(6))
            file.read_into(4, buffer[1:5])
            file.read_into(10, buffer[:0])
            assert bytes(buffer) == b"\x004567\x00"
            with raises(CheckpointCorruptError, path):
                file.read_into(8, buffer)
        file.close()
        assert bytes(view[2:4]) == b"23", "a view lives on after close"

    def test_an_empty_file(self, storage: Storage, directory: str) -> None:
        storage.create(f"{directory}/f", 0).close()
        with storage.open(f"{directory}/f") as file:
            assert file.size == 0
            assert bytes(file.map()) == b""
