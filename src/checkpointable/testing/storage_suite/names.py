"""Conformance tests: names of files, directories and links."""

from __future__ import annotations

import os

from checkpointable.errors import CheckpointError, CheckpointIOError, CheckpointNotFoundError
from checkpointable.storage import Storage, link_or_copy
from checkpointable.testing.storage_suite.helpers import get, put, raises

__all__ = ["NamesTests"]


class NamesTests:
    """Tests that names appear, move and disappear atomically."""

    def test_creation_is_exclusive(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/f"
        put(storage, path, b"mine")
        with raises(CheckpointIOError, path):
            storage.create(path, 4)
        assert get(storage, path) == b"mine"

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
        with raises(CheckpointNotFoundError, path):
            storage.open(path)
        with raises(CheckpointNotFoundError, path):
            storage.delete(path)
        with raises(CheckpointNotFoundError, path):
            storage.list(path)
        with raises(CheckpointNotFoundError, path):
            storage.create(f"{path}/f", 1)
        assert storage.identity(path) is None
        assert not storage.exists(path)
        assert not storage.is_directory(path)
        assert storage.delete_if_unused(path)

    def test_renaming_replaces(self, storage: Storage, directory: str) -> None:
        a, b = f"{directory}/a", f"{directory}/b"
        put(storage, a, b"new")
        put(storage, b, b"old")
        storage.rename(a, b)
        assert storage.list(directory) == ["b"]
        assert get(storage, b) == b"new"

    def test_an_open_file_may_be_renamed_and_closed(self, storage: Storage, directory: str) -> None:
        file = storage.create(f"{directory}/a", 3)
        file.write_at(b"new", 0)
        storage.rename(f"{directory}/a", f"{directory}/b")
        file.close()
        assert storage.list(directory) == ["b"]
        assert get(storage, f"{directory}/b") == b"new"

    def test_what_is_open_stays_readable(self, storage: Storage, directory: str) -> None:
        a, b = f"{directory}/a", f"{directory}/b"
        put(storage, a, b"old")
        file = storage.open(a)
        put(storage, b, b"newer")
        storage.rename(b, a)
        assert file.read(0, 3) == b"old"
        storage.delete(a)
        assert bytes(file.map()) == b"old"
        file.close()

    def test_identity_tells_files_apart(self, storage: Storage, directory: str) -> None:
        a, b = f"{directory}/a", f"{directory}/b"
        put(storage, a, b"one")
        with storage.open(a) as file:
            assert file.identity == storage.identity(a)
            first = file.identity
            put(storage, b, b"two")
            storage.rename(b, a)
            assert storage.identity(a) != first

    def test_links(self, storage: Storage, directory: str) -> None:
        a, b = f"{directory}/a", f"{directory}/b"
        put(storage, a, b"contents")
        with storage.open(a) as file:
            same = link_or_copy(storage, file, b, sync=True)
            assert same == (storage.identity(a) == storage.identity(b))
        storage.delete(a)
        assert get(storage, b) == b"contents"
        if same:
            with raises(CheckpointIOError, b):
                put(storage, a, b"x")
                storage.link(a, b, sync=False)

    def test_listing_is_sorted(self, storage: Storage, directory: str) -> None:
        for name in ("b", "a", ".c", "a.b"):
            put(storage, f"{directory}/{name}", b"")
        assert storage.list(directory) == sorted(["b", "a", ".c", "a.b"])

    def test_directories(self, storage: Storage, directory: str) -> None:
        deep = f"{directory}/x/y"
        for sync in (True, False):
            storage.make_directories(deep, sync=sync)
        assert storage.is_directory(deep)
        assert storage.is_directory(f"{directory}/x")
        assert storage.list(f"{directory}/x") == ["y"]
        put(storage, f"{deep}/f", b"")
        assert not storage.is_directory(f"{deep}/f")
        storage.sync_directory(deep)
        with raises(CheckpointError, f"{deep}/f"):
            storage.make_directories(f"{deep}/f")

    def test_a_relative_path_is_the_same_place(self, storage: Storage, directory: str) -> None:
        whole, relative = f"{directory}/f", os.path.relpath(f"{directory}/f")
        put(storage, whole, b"1")
        assert get(storage, relative) == b"1"
        assert storage.exists(relative)
        assert storage.list(os.path.relpath(directory)) == ["f"]
        storage.delete(relative)
        assert not storage.exists(whole)
