"""Several restores at once: for each value the last one wins."""

from __future__ import annotations

import itertools

import pytest

import checkpointable as cp
from tests.semantics.helpers import Counter, Module, restore, save, variable


def tree(value, **more):
    return Module(a=Module(v=variable(value), n=Counter(int(value))), w=variable(value), **more)


@pytest.fixture
def paths(tmp_path):
    return [save(tree(value), tmp_path / f"c{value}") for value in (1.0, 2.0, 3.0)]


def contents(root):
    return float(root.a.v), root.a.n.count, float(root.w)


# S24
def test_of_existing_objects_the_last_restore_wins(paths):
    root = tree(0)
    for path in paths:
        restore(root, path).assert_consumed()
    assert contents(root) == (3, 3, 3)
    restore(root, paths[0]).assert_consumed()
    assert contents(root) == (1, 1, 1)


# S24: whatever the order in which objects are created afterwards, whoever keeps a status
@pytest.mark.parametrize("keep", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("order", list(itertools.permutations("avnw")), ids="".join)
def test_of_objects_still_to_come_too(paths, order, keep):
    root, a, v, n, w = Module(), Module(), variable(), Counter(), variable()
    statuses = [restore(root, path).expect_partial() for path in paths]
    kept = [statuses[index] for index in keep]
    del statuses
    steps = {
        "a": lambda: setattr(root, "a", a),
        "v": lambda: setattr(a, "v", v),
        "n": lambda: setattr(a, "n", n),
        "w": lambda: setattr(root, "w", w),
    }
    for name in order:
        steps[name]()
    assert contents(root) == (3, 3, 3)
    for status in kept:
        status.assert_consumed()  # a value that a later restore has set counts


# S24
@pytest.mark.parametrize("built", ["before", "between", "after"])
def test_two_checkpoints_with_different_values(tmp_path, built):
    first = save(Module(x=variable(1), y=variable(1), sub=Module(p=variable(1))), tmp_path / "a")
    second = save(Module(y=variable(2), z=variable(2), sub=Module(q=variable(2))), tmp_path / "b")
    root = Module()

    def build():
        for name in "xyz":
            setattr(root, name, variable())
        root.sub = Module()
        root.sub.p, root.sub.q = variable(), variable()

    if built == "before":
        build()
    one = restore(root, first).expect_partial()
    if built == "between":
        build()
    two = restore(root, second).expect_partial()
    if built == "after":
        build()
    found = [root.x, root.y, root.z, root.sub.p, root.sub.q]
    assert [float(v) for v in found] == [1, 2, 2, 1, 2]
    one.assert_consumed()  # what the later one has set counts, here also what it added
    with pytest.raises(AssertionError, match=r": 2 object.*: x, sub/p \("):
        two.assert_consumed()


# S24
def test_a_deferred_restore_never_overwrites_a_later_one(paths):
    root = Module()
    restore(root, paths[0]).expect_partial()
    a = Module(v=variable(), n=Counter())
    restore(Module(a=a, w=variable()), paths[1]).assert_consumed()  # by way of another root
    root.a = a
    assert contents(Module(a=a, w=variable()))[:2] == (2, 2)


# S24
def test_add_variable_takes_the_value_of_the_last(paths):
    root = Module()
    for path in paths:
        restore(root, path).expect_partial()
    assert float(cp.add_variable(root, "w", shape=())) == 3
    root.a = Module()
    assert float(cp.add_variable(root.a, "v", shape=())) == 3


# S24
def test_assignments_of_the_program_are_overwritten_by_neither(paths):
    root = Module()
    restore(root, paths[0]).expect_partial()
    root.w = variable()
    root.w.assign(50)
    restore(root, paths[1]).expect_partial()
    assert float(root.w) == 2
    root.w.assign(60)
    root.again = root.w
    assert float(root.w) == 60


# S24
@pytest.mark.parametrize("order", list(itertools.permutations(["v", "opt", "add"])), ids="-".join)
def test_slots_of_several_restores(tmp_path, order):
    def program(value):
        root = Module(v=variable(value), opt=cp.Optimizer())
        root.opt.add_slot(root.v, "m", value)
        return root

    first, second = (save(program(float(n)), tmp_path / f"c{n}") for n in (1, 2))
    root, v, opt = Module(), variable(), cp.Optimizer()
    one = restore(root, first).expect_partial()
    restore(root, second).expect_partial()
    steps = {
        "v": lambda: setattr(root, "v", v),
        "opt": lambda: setattr(root, "opt", opt),
        "add": lambda: opt.add_slot(v, "m", 9.0),
    }
    for name in order:
        steps[name]()
    assert float(opt.get_slot(v, "m")) == 2
    one.assert_consumed()


# S24
def test_a_failed_restore_does_not_win(tmp_path, paths):
    other = save(Module(w=cp.Variable([1.0, 2.0])), tmp_path / "other")
    root = tree(0)
    status = restore(root, paths[0])
    with pytest.raises(cp.CheckpointMismatchError):
        restore(root, other)
    status.assert_consumed()
    assert contents(root) == (1, 1, 1)


# S24
def test_the_earlier_checkpoint_fills_in_what_the_later_one_lacks(tmp_path):
    whole = save(Module(a=Module(x=variable(1), y=variable(1))), tmp_path / "whole")
    part = save(Module(a=Module(x=variable(2))), tmp_path / "part")
    for first, second, expected in ((whole, part, (2, 1)), (part, whole, (1, 1))):
        root = Module()
        restore(root, first).expect_partial()
        restore(root, second).expect_partial()
        root.a = Module()
        root.a.y, root.a.x = variable(), variable()
        assert (float(root.a.x), float(root.a.y)) == expected
