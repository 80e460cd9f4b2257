"""One node goes to one object: what was shared and is split, what was two and is one."""

from __future__ import annotations

import gc
import logging

import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Counter, Module, restore, save, variable


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def assert_both_fail(status, words):
    for check in (status.assert_consumed, status.assert_existing_objects_matched):
        with pytest.raises(AssertionError, match=words):
            check()


# S23
def test_a_shared_object_that_is_two_now(tmp_path, caplog):
    shared = Module(v=variable(1))
    path = save(Module(a=shared, b=shared), tmp_path / "c")
    root = Module(a=Module(v=variable(5)), b=Module(v=variable(6)))
    status = restore(root, path)
    assert (float(root.a.v), float(root.b.v)) == (1, 6)
    (warning,) = warnings(caplog)
    assert "b claims a" in warning
    assert path in warning
    assert_both_fail(status, "b")


# S23
def test_a_shared_variable_that_is_two_now(tmp_path, caplog):
    shared = variable(1)
    path = save(Module(items=[shared, shared, shared]), tmp_path / "c")
    root = Module(items=[variable(4), variable(5), variable(6)])
    status = restore(root, path)
    assert [float(v) for v in root.items] == [1, 5, 6]
    assert [w.partition(": ")[2].split(":")[0] for w in warnings(caplog)] == [
        *("items/1 claims items/0", "items/2 claims items/0"),
    ]
    assert_both_fail(status, "items/1.*items/2")


# S23
@pytest.mark.parametrize("first", ["a", "b"])
def test_whichever_comes_first_keeps_the_value(tmp_path, caplog, first):
    shared = Module(v=variable(1))
    path = save(Module(a=shared, b=shared), tmp_path / "c")
    root, second = Module(), "ab".replace(first, "")
    status = restore(root, path)
    setattr(root, first, Module(v=variable(5)))
    assert warnings(caplog) == []
    status.assert_consumed()
    setattr(root, second, Module(v=variable(6)))
    assert float(getattr(root, first).v) == 1
    assert float(getattr(root, second).v) == 6
    assert len(warnings(caplog)) == 1
    assert_both_fail(status, second)


# S23
def test_a_second_object_is_refused_also_when_the_first_is_gone(tmp_path, caplog):
    shared = Module(v=variable(1))
    path = save(Module(a=shared, b=shared), tmp_path / "c")
    root = Module()
    status = restore(root, path)
    root.a = Module(v=variable(5))
    del root.a
    gc.collect()
    root.b = Module(v=variable(6))
    assert float(root.b.v) == 6
    assert len(warnings(caplog)) == 1
    assert_both_fail(status, "b")


# S23
def test_add_variable_for_a_value_that_another_has(tmp_path, caplog):
    shared = variable(1)
    path = save(Module(a=shared, b=shared), tmp_path / "c")
    root = Module(a=variable())
    status = restore(root, path)
    assert float(cp.add_variable(root, "b", shape=(), initializer=lambda *_: 9.0)) == 9
    assert len(warnings(caplog)) == 1
    assert_both_fail(status, "b")


# S23
def test_two_objects_that_are_one_now_with_equal_values(tmp_path, caplog):
    path = save(Module(a=Module(v=variable(1)), b=Module(v=variable(1))), tmp_path / "c")
    shared = Module(v=variable())
    status = restore(Module(a=shared, b=shared), path)
    assert float(shared.v) == 1
    status.assert_consumed()
    assert warnings(caplog) == []


# S23
def test_two_objects_that_are_one_now_with_other_values(tmp_path, caplog):
    path = save(Module(a=Module(v=variable(1)), b=Module(v=variable(2))), tmp_path / "c")
    shared = Module(v=variable())
    root = Module(a=shared, b=shared)
    status = restore(root, path)
    assert float(shared.v) == 1
    (warning,) = warnings(caplog)
    assert "b/v" in warning
    assert "a/v" in warning
    assert_both_fail(status, "b/v")


# S23
def test_two_objects_with_values_of_their_own_each_merge(tmp_path, caplog):
    # Their values do not collide: each node brings what the other has not.
    path = save(Module(a=Module(x=variable(1)), b=Module(y=variable(2))), tmp_path / "c")
    shared = Module(x=variable(), y=variable())
    root = Module(a=shared, b=shared)
    restore(root, path).assert_consumed()
    assert (float(shared.x), float(shared.y)) == (1, 2)
    assert warnings(caplog) == []


# S23
def test_two_states_that_are_one_now(tmp_path):
    path = save(Module(a=Counter(1), b=Counter(1), c=Counter(2)), tmp_path / "c")
    shared = Counter()
    restore(Module(a=shared, b=shared, c=Counter()), path).assert_consumed()
    assert shared.count == 1
    status = restore(Module(a=shared, b=Counter(), c=shared), path)
    assert_both_fail(status, "c")


# S23
def test_each_restore_counts_for_itself(tmp_path, caplog):
    shared = Module(v=variable(1))
    both = save(Module(a=shared, b=shared), tmp_path / "both")
    one = save(Module(a=Module(v=variable(2)), b=Module(v=variable(3))), tmp_path / "one")
    root = Module(a=Module(v=variable()), b=Module(v=variable()))
    assert_both_fail(restore(root, both), "b")
    restore(root, one).assert_consumed()
    assert (float(root.a.v), float(root.b.v)) == (2, 3)
    assert len(warnings(caplog)) == 1


# S23
def test_a_mismatch_of_the_second_object_is_no_error(tmp_path, caplog):
    shared = variable(1)
    path = save(Module(a=shared, b=shared), tmp_path / "c")
    root = Module(a=variable(), b=cp.Variable(np.zeros(7)))
    restore(root, path).expect_partial()
    assert float(root.a) == 1
    assert root.b.numpy().tolist() == [0] * 7
    assert len(warnings(caplog)) == 1


# S23 S28
def test_empty_containers_that_were_shared_are_nobodys_claim(tmp_path, caplog):
    shared = Module(empty=[])
    path = save(Module(a=shared, b=shared, v=variable(1)), tmp_path / "c")
    root = Module(a=Module(empty=[]), b=Module(empty=[]), v=variable())
    restore(root, path).assert_consumed()
    assert warnings(caplog) == []
