"""Relative paths, and a program that goes to another working directory (S14, S16)."""

from __future__ import annotations

import os
from contextlib import contextmanager

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.storage import use_storage
from checkpointable.storage.local import LocalStorage
from checkpointable.testing import WatchedStorage
from tests.manager.helpers import on_disk, program


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Two directories with a `runs` in each, and the program in the first."""
    for name in ("first", "second"):
        (tmp_path / name / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "first")
    return tmp_path / "first", tmp_path / "second"


def test_a_manager_stays_where_it_was_made(places):
    first, second = places
    manager = cp.CheckpointManager(program(), "runs", 1)
    assert manager.save() == manager.latest_checkpoint == os.path.join("runs", "ckpt-1")
    os.chdir(second)
    assert manager.save() == manager.latest_checkpoint == str(first / "runs" / "ckpt-2")
    assert manager.checkpoints == [str(first / "runs" / "ckpt-2")]
    assert manager.directory == str(first / "runs")
    assert (on_disk(first / "runs"), os.listdir(second / "runs")) == (["ckpt-2"], [])
    os.chdir(first)
    assert manager.directory == "runs"
    assert manager.checkpoints == [os.path.join("runs", "ckpt-2")]
    manager.restore_latest_valid().assert_consumed()


def test_a_manager_deletes_nobody_elses_checkpoint_of_its_own_relative_name(places):
    first, second = places
    manager = cp.CheckpointManager(program(), "runs", 1)
    manager.save()
    os.chdir(second)
    theirs = cp.CheckpointManager(program(), "runs", 3)
    theirs.save()
    manager.save()
    assert (on_disk(first / "runs"), on_disk(second / "runs")) == (["ckpt-2"], ["ckpt-1"])
    assert cp.latest_checkpoint("runs") == os.path.join("runs", "ckpt-1")


def test_an_asynchronous_save_of_a_manager_ends_where_it_began(places, monkeypatch):
    first, second = places
    create, gone = LocalStorage.create, []

    def elsewhere(self, path, size):
        if not gone:
            gone.append(os.chdir(second))
        return create(self, path, size)

    monkeypatch.setattr(LocalStorage, "create", elsewhere)
    manager = cp.CheckpointManager(program(), "runs", 1)
    handle = manager.save_async()
    path = handle.result()
    assert path == handle.path == str(first / "runs" / "ckpt-1")
    assert path == manager.latest_checkpoint == cp.latest_checkpoint(first / "runs")
    assert os.listdir(second / "runs") == []


def test_a_saver_deletes_nobody_elses_checkpoint_of_its_own_relative_name(places):
    first, second = places
    saver = cp.Saver([cp.Variable(np.zeros(3), name="v")], max_to_keep=1)
    assert saver.save("runs/c", 1) == "runs/c-1"
    assert saver.last_checkpoints == ["runs/c-1"]
    os.chdir(second)
    cp.Saver([cp.Variable(np.zeros(3), name="v")]).save("runs/c", 1)
    assert saver.last_checkpoints == [str(first / "runs" / "c-1")]
    saver.save("runs/c", 2)
    assert (on_disk(first / "runs"), on_disk(second / "runs")) == ([], ["c-1", "c-2"])
    assert saver.last_checkpoints == ["runs/c-2"]


def test_above_a_link_is_above_what_it_leads_to(tmp_path, monkeypatch):
    (tmp_path / "far" / "away").mkdir(parents=True)
    os.symlink(tmp_path / "far" / "away", tmp_path / "link")
    monkeypatch.chdir(tmp_path)
    path = program().save_async("link/../ck").result()
    assert path == "link/../ck-1"
    assert on_disk(tmp_path / "far") == ["ck-1"]


class Goes(WatchedStorage):
    """Another thread goes to another directory before the operation number `at`."""

    def __init__(self, at, directory):
        super().__init__()
        self._left = at
        self._directory = directory

    @contextmanager
    def around(self, operation):
        if self._left == 0:
            os.chdir(self._directory)
        self._left -= 1
        yield


def everything(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.mark.parametrize("at", range(16))
def test_a_save_ends_where_it_began_whenever_another_thread_goes_elsewhere(places, at):
    first, second = places
    checkpoint = program()
    theirs = program(3.0)
    theirs.save(second / "ck")
    before = everything(second)
    checkpoint.save("ck")
    with use_storage(Goes(at, second)):
        assert checkpoint.save("ck") == "ck-2"
    assert on_disk(first) == ["ck-1", "ck-2"]
    assert cp.latest_checkpoint(first) == str(first / "ck-2")
    assert everything(second) == before
