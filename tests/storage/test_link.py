"""A second name for a file, or a copy where it cannot have one."""

from __future__ import annotations

import errno
import os

import pytest

from checkpointable.errors import CheckpointCorruptError, CheckpointIOError, CheckpointNotFoundError
from checkpointable.storage import LocalStorage, Storage, link_or_copy
from tests.storage.doubles import WatchedStorage


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(bytes(range(256)) * 40_000)  # more than is copied at a time
    return path


class _WithoutLinks(WatchedStorage):
    link = Storage.link


def refuse(number):
    def link(*_):
        raise OSError(number, os.strerror(number))

    return link


@pytest.mark.parametrize("sync", [False, True])
def test_a_second_name_is_the_same_file(source, tmp_path, sync):
    storage = LocalStorage()
    with storage.open(str(source)) as file:
        assert link_or_copy(storage, file, str(tmp_path / "b"), sync=sync)
        assert storage.identity(str(tmp_path / "b")) == file.identity
    assert sorted(os.listdir(tmp_path)) == ["b", "source"]


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_the_system_refuses_it_is_copied(source, tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", refuse(number))
    storage = WatchedStorage()
    with storage.open(str(source)) as file:
        assert not link_or_copy(storage, file, str(tmp_path / "b"), sync=True)
        assert storage.identity(str(tmp_path / "b")) != file.identity
    assert (tmp_path / "b").read_bytes() == source.read_bytes()
    assert [what for what, _ in storage.steps] == [
        *("link", "create", "write", "write", "write", "sync", "rename")
    ]
    assert sorted(os.listdir(tmp_path)) == ["b", "source"]


def test_a_storage_without_links_copies(source, tmp_path):
    storage = _WithoutLinks()
    with storage.open(str(source)) as file:
        assert not link_or_copy(storage, file, str(tmp_path / "b"), sync=False)
    assert (tmp_path / "b").read_bytes() == source.read_bytes()
    assert "sync" not in [what for what, _ in storage.steps]


@pytest.mark.parametrize("storage", [LocalStorage(), _WithoutLinks()])
def test_progress_is_told_part_by_part_of_a_copy(source, tmp_path, storage):
    told = []
    with storage.open(str(source)) as file:
        same = link_or_copy(storage, file, str(tmp_path / "b"), sync=False, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == source.stat().st_size
    assert len(told) == (1 if same else 3)


def test_other_refusals_are_errors(source, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse(errno.ENOSPC))
    storage = LocalStorage()
    with storage.open(str(source)) as file, pytest.raises(CheckpointIOError, match="ENOSPC"):
        link_or_copy(storage, file, str(tmp_path / "b"), sync=False)
    assert os.listdir(tmp_path) == ["source"]


def test_what_had_the_name_is_replaced_and_not_written_into(source, tmp_path):
    (tmp_path / "b").write_bytes(b"old")
    os.link(tmp_path / "b", tmp_path / "c")
    storage = LocalStorage()
    with storage.open(str(source)) as file:
        assert link_or_copy(storage, file, str(tmp_path / "b"), sync=False)
        assert link_or_copy(storage, file, str(tmp_path / "b"), sync=False)  # again
    assert os.path.samefile(tmp_path / "b", source)
    assert (tmp_path / "c").read_bytes() == b"old"


def test_a_name_that_is_taken(source, tmp_path):
    (tmp_path / "b").write_bytes(b"old")
    with pytest.raises(CheckpointIOError, match="EEXIST"):
        LocalStorage().link(str(source), str(tmp_path / "b"), sync=False)


def test_the_open_file_counts_not_what_has_its_name_now(source, tmp_path):
    contents = source.read_bytes()
    storage = LocalStorage()
    with storage.open(str(source)) as file:
        (tmp_path / "new").write_bytes(b"new")
        os.replace(tmp_path / "new", source)
        assert not link_or_copy(storage, file, str(tmp_path / "b"), sync=False)
        assert (tmp_path / "b").read_bytes() == contents
        source.unlink()
        assert not link_or_copy(storage, file, str(tmp_path / "c"), sync=False)
        assert (tmp_path / "c").read_bytes() == contents


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a permission there")
def test_a_symbolic_link_is_followed(source, tmp_path):
    (tmp_path / "store").mkdir()
    os.symlink("source", tmp_path / "pointer")
    storage = LocalStorage()
    with storage.open(str(tmp_path / "pointer")) as file:
        assert link_or_copy(storage, file, str(tmp_path / "store" / "b"), sync=True)
    assert not os.path.islink(tmp_path / "store" / "b")
    assert os.path.samefile(tmp_path / "store" / "b", source)


def test_a_directory_that_is_not_there(source, tmp_path):
    storage = LocalStorage()
    with storage.open(str(source)) as file, pytest.raises(CheckpointNotFoundError):
        link_or_copy(storage, file, str(tmp_path / "no" / "b"), sync=False)


def test_a_copy_that_fails_leaves_nothing(source, tmp_path):
    for step in range(6):
        storage = _WithoutLinks(step)
        with storage.open(str(source)) as file, pytest.raises(CheckpointIOError):
            link_or_copy(storage, file, str(tmp_path / "b"), sync=True)
        assert os.listdir(tmp_path) == ["source"]


def test_a_source_that_is_cut_short_while_it_is_copied_is_an_error(source, tmp_path):
    def cut(_):
        os.truncate(source, 0)

    storage = _WithoutLinks()
    with (
        storage.open(str(source)) as file,
        pytest.raises(CheckpointCorruptError, match="the file ends after 0 of") as caught,
    ):
        link_or_copy(storage, file, str(tmp_path / "b"), sync=False, progress=cut)
    assert caught.value.path == str(source)
    assert os.listdir(tmp_path) == ["source"]
