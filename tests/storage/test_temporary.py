"""Temporary names, what is cleaned up, and files replaced in one step."""

from __future__ import annotations

import os

import pytest

from checkpointable.errors import CheckpointIOError
from checkpointable.storage import (
    LocalStorage,
    create_temporary,
    remove_stale,
    replace_file,
    temporary_of,
    temporary_path,
)
from tests.storage.doubles import WatchedStorage


def test_temporary_names_stand_beside_and_tell_what_they_stand_for(tmp_path):
    path = temporary_path(str(tmp_path / "ck-1.index"))
    directory, name = os.path.split(path)
    assert directory == str(tmp_path)
    assert name.startswith(f".ck-1.index.tmp-{os.getpid()}-")
    assert temporary_of(name) == "ck-1.index"
    assert temporary_path("x") != temporary_path("x")


@pytest.mark.parametrize(
    "name", ["ck.index", ".ck.index", ".ck.tmp-1", "ck.tmp-1-0123abcd", ".ck.tmp-x-0123abcd"]
)
def test_other_names_are_not_temporary(name):
    assert temporary_of(name) is None


def test_long_names_fit(tmp_path):
    name = "é" * 120 + ".index"
    file = create_temporary(LocalStorage(), str(tmp_path / name), 1)
    LocalStorage().rename(file.path, str(tmp_path / name))
    file.close()
    assert os.listdir(tmp_path) == [name]


def test_only_stale_files_of_ours_are_removed(tmp_path):
    storage = LocalStorage()
    live = create_temporary(storage, str(tmp_path / "ck.data"), 1)
    create_temporary(storage, str(tmp_path / "ck.data"), 1).close()
    create_temporary(storage, str(tmp_path / "other.data"), 1).close()
    (tmp_path / ".ck.data.swp").write_bytes(b"an editor's")
    remove_stale(storage, str(tmp_path), lambda final: final == "ck.data")
    left = os.listdir(tmp_path)
    assert os.path.basename(live.path) in left
    assert ".ck.data.swp" in left
    assert len(left) == 3
    assert {temporary_of(name) for name in left} == {"ck.data", "other.data", None}
    live.abort()


def test_cleaning_up_never_fails(tmp_path):
    remove_stale(LocalStorage(), str(tmp_path / "no"), lambda final: True)


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "checkpoint"
    for contents in (b"one", b"", b"three"):
        replace_file(LocalStorage(), str(path), contents)
        assert path.read_bytes() == contents
        assert os.listdir(tmp_path) == ["checkpoint"]


@pytest.mark.parametrize(
    ("durability", "steps"),
    [
        ("fsync", ["create", "write", "sync", "rename", "sync directory"]),
        ("flush", ["create", "write", "rename"]),
    ],
)
def test_the_steps_of_a_replacement(tmp_path, durability, steps):
    storage = WatchedStorage()
    replace_file(storage, str(tmp_path / "checkpoint"), b"new", durability)
    assert [what for what, _ in storage.steps] == steps


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "checkpoint"
    for step in range(4):
        path.write_bytes(b"old")
        with pytest.raises(CheckpointIOError):
            replace_file(WatchedStorage(step), str(path), b"new")
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["checkpoint"]


def test_a_replacement_cleans_up_after_a_dead_one(tmp_path):
    (tmp_path / ".checkpoint.tmp-1-00000000").write_bytes(b"half")
    replace_file(LocalStorage(), str(tmp_path / "checkpoint"), b"new", "flush")
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_names_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replace_file(LocalStorage(), "checkpoint", b"new")
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_an_unknown_durability(tmp_path):
    with pytest.raises(ValueError, match="durability is 'sync'"):
        replace_file(LocalStorage(), str(tmp_path / "checkpoint"), b"", "sync")
