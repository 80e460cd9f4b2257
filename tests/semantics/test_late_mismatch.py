"""What comes after a restore and does not fit, or is claimed twice: named where it is."""

from __future__ import annotations

import gc
import logging

import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Module, restore, save, variable


def outcomes(status):
    return {entry.path: entry.outcome.value for entry in status.report()}


@pytest.fixture
def path(tmp_path):
    return save(Module(a=cp.Variable(np.ones(2)), b=variable(1)), tmp_path / "c")


# S25, S31
def test_a_late_mismatch_is_reported_as_one(path):
    root = Module(b=variable())
    status = restore(root, path)
    assert outcomes(status) == {"a": "deferred", "b": "restored"}
    with pytest.raises(cp.CheckpointMismatchError, match="the assigned object stays as it was"):
        root.a = cp.Variable(np.zeros(3))
    assert root.a.numpy().tolist() == [0, 0, 0]
    entry = status.report()["a"]
    assert entry.outcome is cp.Outcome.MISMATCH
    assert (str(entry.checkpoint), str(entry.program)) == ("float64[2]", "float64[3]")
    assert "stays as it was" in entry.note
    words = r"a \(does not fit: shape \(2,\) in the checkpoint, \(3,\) in the program\)"
    for check in (status.assert_consumed, status.assert_existing_objects_matched):
        with pytest.raises(AssertionError, match=words):
            check()


# S21, S31
def test_another_object_under_the_name_is_restored(path):
    root = Module(b=variable())
    status = restore(root, path)
    with pytest.raises(cp.CheckpointMismatchError):
        root.a = cp.Variable(np.zeros(3))
    del root.a
    assert outcomes(status) == {"a": "deferred", "b": "restored"}
    root.a = cp.Variable(np.zeros(2))
    assert root.a.numpy().tolist() == [1, 1]
    status.assert_consumed()
    assert outcomes(status) == {"a": "restored", "b": "restored"}


# S25, S31
def test_what_came_with_it_says_why_it_was_not_restored(tmp_path):
    path = save(Module(m=Module(x=variable(1), y=variable(2), z=variable(3))), tmp_path / "c")
    root = Module()
    status = restore(root, path)
    with pytest.raises(cp.CheckpointMismatchError):
        root.m = Module(x=variable(), y=cp.Variable(np.zeros(3)))
    assert outcomes(status) == {"m/x": "deferred", "m/y": "mismatch", "m/z": "deferred"}
    assert "or one below it, does not fit" in status.report()["m/x"].note
    assert status.report()["m/z"].note == "its object does not exist yet"
    assert float(root.m.x) == 0


# S31: never raises, also where the objects are looked at again at every call
def test_a_report_on_objects_that_are_looked_at_again(tmp_path):
    class Own(cp.Checkpointable):
        @property
        def _checkpoint_dependencies(self):
            return [(n, v) for n, v in vars(self).items() if isinstance(v, cp.Variable)]

        def _lookup_dependency(self, name):
            return dict(self._checkpoint_dependencies).get(name)

    first = Own()
    first.__dict__["v"] = variable(1)
    path = save(Module(own=first), tmp_path / "c")
    root = Module(own=Own())
    status = restore(root, path)
    root.own.__dict__["v"] = cp.Variable(np.zeros(3))
    assert outcomes(status) == {"own/v": "mismatch"}
    with pytest.raises(cp.CheckpointMismatchError):
        status.assert_consumed()
    root.own.__dict__["v"] = variable()
    status.assert_consumed()


# S23
def test_a_late_claim_is_named_by_the_edge_that_makes_it(tmp_path, caplog):
    shared = Module(v=variable(1))
    path = save(Module(a=shared, deep=Module(b=shared)), tmp_path / "c")
    root = Module(a=Module(v=variable()))
    status = restore(root, path)
    deep = Module()
    root.deep = deep
    deep.b = Module(v=variable())
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "deep/b claims a" in warning
    assert status.report()["deep/b/v"].outcome is cp.Outcome.AMBIGUOUS
    with pytest.raises(AssertionError, match=r"claim\(s\) were refused: deep/b \("):
        status.assert_existing_objects_matched()


# S23
@pytest.mark.parametrize("collect", [False, True])
def test_a_claim_ends_with_the_object_that_made_it(tmp_path, collect):
    shared = Module(v=variable(1))
    path = save(Module(a=shared, b=shared), tmp_path / "c")
    root = Module(a=Module(v=variable()), b=Module(v=variable()))
    kept = [root.b]
    status = restore(root, path)
    with pytest.raises(AssertionError, match="refused: b"):
        status.assert_consumed()
    root.b = root.a  # as it was saved
    if collect:
        kept.clear()
        gc.collect()
    status.assert_consumed()
    assert outcomes(status) == {"a/v": "restored"}
