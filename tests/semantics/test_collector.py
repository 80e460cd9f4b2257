"""Python's garbage collector is off while objects are matched, and on while files are read."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.storage import use_storage
from checkpointable.testing.watched import CHANGES, READS, WatchedStorage
from tests.semantics.helpers import Module, variable


class CollectorStorage(WatchedStorage):
    """Notes of every operation whether the collector was on."""

    def __init__(self):
        super().__init__(kinds=CHANGES | READS)
        self.seen = []

    @contextmanager
    def around(self, operation):
        self.seen.append((operation.kind, operation.path, gc.isenabled()))
        yield

    def kinds_with_collector_on(self):
        """The kinds of operations seen; fails if one had the collector off."""
        assert not [(kind, path) for kind, path, enabled in self.seen if not enabled]
        kinds = {kind for kind, _, _ in self.seen}
        self.seen.clear()
        return kinds


def _program(size=2):
    layers = [cp.Variable(np.zeros(3, np.float32)) for _ in range(size)]
    return Module(layers=cp.List(layers), text=cp.Variable(b"a"), state=cp.JSONState(n=1))


@pytest.fixture
def storage():
    assert gc.isenabled()
    storage = CollectorStorage()
    with use_storage(storage):
        yield storage
    assert gc.isenabled()


@pytest.mark.parametrize("method", ["save", "save_async"])
def test_the_collector_runs_while_a_save_writes(tmp_path, storage, method):
    saved = getattr(cp.CheckpointableSaver(_program()), method)(tmp_path / "c")
    if method == "save_async":
        saved.result()
    assert {"create", "write", "sync", "rename"} <= storage.kinds_with_collector_on()


@pytest.mark.parametrize("verify", [True, "stream", False])
def test_the_collector_runs_while_a_restore_reads(tmp_path, storage, verify):
    path = cp.CheckpointableSaver(_program()).save(tmp_path / "c", durability="flush")
    storage.seen.clear()
    root = Module(layers=cp.List([variable()]))
    root.layers[0] = cp.Variable(np.ones(3, np.float32))
    saver = cp.CheckpointableSaver(root)
    status = saver.restore(path, verify=verify)
    assert {"open", "read"} <= storage.kinds_with_collector_on()
    root.text = cp.Variable(b"b")  # restored on create
    root.layers.append(cp.Variable(np.ones(3, np.float32)))
    assert storage.kinds_with_collector_on()
    root.state = cp.JSONState()
    status.assert_consumed()
    status.report()
    saver.plan(path)
    assert storage.kinds_with_collector_on()


def test_the_collector_runs_while_names_are_read(tmp_path, storage):
    saver = cp.Saver({"a": variable(1), "b": cp.Variable(b"text")})
    path = saver.save(tmp_path / "names")
    storage.seen.clear()
    saver.restore(path)
    assert {"open", "read"} <= storage.kinds_with_collector_on()


class Watching(cp.Checkpointable):
    """Notes of every look at its values whether the collector was on, and its collections."""

    seen: ClassVar[list[tuple[bool, int]]] = []

    def __init__(self):
        self.array = np.zeros(1)

    def _gather_saveables_for_checkpoint(self):
        collections = sum(generation["collections"] for generation in gc.get_stats())
        self.seen.append((gc.isenabled(), collections))
        return {"state": cp.Value("float64", (1,), lambda: self.array, lambda contents: None)}


@pytest.mark.parametrize("action", ["save", "restore", "plan"])
def test_many_objects_are_matched_without_a_collection(tmp_path, monkeypatch, action):
    count = 3000
    assert count > 2 * gc.get_threshold()[0]
    root = Module(parts=cp.List([Watching() for _ in range(count)]))
    saver = cp.CheckpointableSaver(root)
    path = saver.save(tmp_path / "c", durability="flush")
    monkeypatch.setattr(Watching, "seen", [])
    if action == "save":
        saver.save(tmp_path / "d", durability="flush")
    else:
        getattr(saver, action)(path)
    matched = Watching.seen[:count]
    assert len(matched) == count
    assert not any(enabled for enabled, _ in matched)
    assert len({collections for _, collections in matched}) == 1
