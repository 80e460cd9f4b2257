"""Restoring what is built after the restore: values are in place when the assignment returns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Counter, Module, restore, save, variable


# S21
def test_an_attribute_set_later_holds_its_value_when_the_assignment_returns(tmp_path):
    path = save(Module(a=variable(1), n=Counter(2)), tmp_path / "c")
    root = Module()
    status = restore(root, path)
    root.a = variable()
    assert float(root.a) == 1
    with pytest.raises(AssertionError, match=r"have no object: n \("):
        status.assert_consumed()
    root.n = Counter()
    assert root.n.count == 2
    status.assert_consumed()


# S21: at any depth, in any order, before or after the object got children of its own
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_every_order_of_building_a_chain(tmp_path, order):
    path = save(Module(a=Module(b=Module(c=Module(v=variable(7))))), tmp_path / "c")
    root, a, b, c, v = Module(), Module(), Module(), Module(), variable()
    steps = [(root, "a", a), (a, "b", b), (b, "c", c), (c, "v", v)]
    status = restore(root, path)
    for number in order:
        owner, name, value = steps[number]
        setattr(owner, name, value)
    assert float(v) == 7
    status.assert_consumed().assert_existing_objects_matched()


# S21
def test_a_tree_that_comes_as_a_whole(tmp_path):
    def tree(value):
        return Module(x=[{"y": (variable(value), Module(z=Counter(value)))}], w=variable(value))

    path = save(Module(a=Module(tree=tree(3))), tmp_path / "c")
    root = Module(a=Module())
    status = restore(root, path)
    root.a.tree = built = tree(0)
    assert float(built.x[0]["y"][0]) == built.x[0]["y"][1].z.count == float(built.w) == 3
    status.assert_consumed()


# S21
def test_list_items_appended_later(tmp_path):
    path = save(Module(items=[variable(n) for n in range(5)]), tmp_path / "c")
    root = Module(items=[variable()])
    status = restore(root, path)
    root.items.append(variable())
    root.items.extend([variable(), variable()])
    root.items += [variable()]
    assert [float(v) for v in root.items] == [0, 1, 2, 3, 4]
    status.assert_consumed()
    root.items.append(variable(9))
    assert float(root.items[5]) == 9


# S21
def test_list_items_that_arrive_by_other_ways(tmp_path):
    path = save(Module(items=[variable(n + 10) for n in range(4)]), tmp_path / "c")
    root = Module(items=[])
    restore(root, path)
    root.items.insert(0, variable())
    assert float(root.items[0]) == 10
    root.items[1:] = [variable(), variable()]
    assert [float(v) for v in root.items] == [10, 11, 12]
    root.items.insert(3, variable())
    assert float(root.items[3]) == 13


# S21
def test_dict_items_set_later_in_any_way(tmp_path):
    names = ["a", "b/c", "d", "e", "f", ""]
    path = save(Module(table={n: variable(i + 1) for i, n in enumerate(names)}), tmp_path / "c")
    root = Module(table={})
    status = restore(root, path)
    root.table["a"] = variable()
    root.table.update({"b/c": variable()}, d=variable())
    root.table.setdefault("e", variable())
    root.table |= {"f": variable()}
    root.table[""] = variable()
    assert [float(root.table[name]) for name in names] == [1, 2, 3, 4, 5, 6]
    status.assert_consumed()


# S21
def test_containers_set_later_and_nested_ones(tmp_path):
    path = save(
        Module(items=[[variable(1)], {"x": [variable(2)]}, (variable(3),)], t=(variable(4),)),
        tmp_path / "c",
    )
    root = Module()
    status = restore(root, path)
    root.items = [[]]
    root.items[0].append(variable())
    root.items.append({})
    root.items[1]["x"] = []
    root.items[1]["x"].append(variable())
    root.items.append((variable(),))
    root.t = (variable(),)
    found = [root.items[0][0], root.items[1]["x"][0], root.items[2][0], root.t[0]]
    assert [float(v) for v in found] == [1, 2, 3, 4]
    status.assert_consumed()


# S21
def test_track_checkpointable_restores_too(tmp_path):
    path = save(Module(**{"x/y": variable(5)}), tmp_path / "c")
    root, v = Module(), variable()
    restore(root, path)
    root._track_checkpointable(v, "x/y")
    assert float(v) == 5


# S21 S6
def test_add_variable_starts_from_the_value_without_its_initializer(tmp_path):
    source = Module(v=cp.Variable(np.arange(6.0).reshape(2, 3)), s=cp.Variable(b"text"))
    path = save(source, tmp_path / "c")

    def never(shape, dtype):
        raise AssertionError("the initializer ran")

    root = Module()
    status = restore(root, path)
    v = cp.add_variable(root, "v", shape=(2, 3), dtype="float64", initializer=never)
    assert v.numpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert v.name == "v"
    assert root._lookup_dependency("v") is v
    s = cp.add_variable(root, "s", shape=(), dtype="string", initializer=never)
    assert s.numpy() == b"text"
    status.assert_consumed()
    v.assign_add(np.ones((2, 3)))  # the memory is the variable's own
    assert v.numpy().tolist() == [[1, 2, 3], [4, 5, 6]]


# S21
@pytest.mark.parametrize("shape", [None, (3,)])
def test_add_variable_with_a_constant_or_a_shape(tmp_path, shape):
    path = save(Module(a=Module(v=cp.Variable([1.0, 2.0, 3.0], dtype="float32"))), tmp_path / "c")
    root = Module(a=Module())
    restore(root, path)
    initializer = [0.0, 0.0, 0.0] if shape is None else None
    v = root.a._add_variable("v", shape=shape, initializer=initializer)
    assert v.numpy().tolist() == [1, 2, 3]


# S21
def test_add_variable_makes_no_second_buffer(tmp_path):
    import tracemalloc

    size = 8_000_000
    path = save(Module(v=cp.Variable(np.ones(size // 8))), tmp_path / "c")
    root = Module()
    restore(root, path)
    tracemalloc.start()
    try:
        cp.add_variable(root, "v", shape=(size // 8,), dtype="float64")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size <= peak < 1.5 * size


# S21 S25
def test_add_variable_of_another_shape_or_dtype(tmp_path):
    path = save(Module(a=Module(v=cp.Variable([1.0, 2.0]))), tmp_path / "c")
    root = Module(a=Module())
    status = restore(root, path)
    for keywords in ({"shape": (3,), "dtype": "float64"}, {"shape": (2,)}, {"initializer": 1.0}):
        with pytest.raises(cp.CheckpointMismatchError, match=r"a/v: .* in the checkpoint"):
            cp.add_variable(root.a, "v", **keywords)
    assert root.a._lookup_dependency("v") is None
    assert cp.add_variable(root.a, "v", (2,), "float64").numpy().tolist() == [1, 2]
    status.assert_consumed()


# S21 S25
def test_what_comes_later_and_does_not_fit_is_refused_and_may_be_replaced(tmp_path):
    path = save(Module(v=cp.Variable([1.0, 2.0]), w=Module(x=variable(1))), tmp_path / "c")
    root = Module()
    status = restore(root, path)
    with pytest.raises(cp.CheckpointMismatchError, match="v: shape"):
        root.v = cp.Variable([0.0])
    with pytest.raises(cp.CheckpointMismatchError, match="w/x: dtype"):
        root.w = Module(x=cp.Variable(3))
    root.v = cp.Variable([0.0, 0.0])
    assert root.v.numpy().tolist() == [1, 2]
    root.w = Module(x=variable())
    assert float(root.w.x) == 1
    status.assert_consumed()


# S23
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_what_replaces_a_restored_object_keeps_its_values(tmp_path, caplog, waits, late):
    whole = Module(head=Module(v=variable(3)), **({"other": variable(1)} if waits else {}))
    path = save(whole, tmp_path / "c")
    root = Module()
    if not late:
        root.head = Module(v=variable())
    status = restore(root, path)
    if late:
        root.head = Module(v=variable())
    assert float(root.head.v) == 3
    caplog.clear()
    root.head = Module(v=variable(7))
    root.head.w = variable(8)  # nothing waits for it there
    assert float(root.head.v) == 7
    for check in (status.assert_consumed, status.assert_existing_objects_matched):
        with pytest.raises(
            AssertionError, match=r"head/v \(its value was restored into another object"
        ):
            check()
    assert not caplog.records
    status.allow_missing("head/**").assert_existing_objects_matched()
    del root.head.w
    restore(root, path)
    assert float(root.head.v) == 3
    status.assert_existing_objects_matched()


# S21
def test_an_object_that_is_shared_by_what_comes_later(tmp_path):
    shared = Module(v=variable(3))
    path = save(Module(a=Module(s=shared), b=Module(s=shared)), tmp_path / "c")
    root, late = Module(), Module(v=variable())
    status = restore(root, path)
    root.b = Module(s=late)
    assert float(late.v) == 3
    late.v.assign(4)  # training goes on
    root.a = Module()
    root.a.s = late
    assert float(late.v) == 4  # not restored once more
    status.assert_consumed()


# S21
def test_a_cycle_that_closes_later(tmp_path):
    source = Module(child=Module(v=variable(2)))
    source.child.parent = source
    path = save(source, tmp_path / "c")
    root = Module()
    status = restore(root, path)
    child = Module()
    child.parent = root
    root.child = child
    child.v = variable()
    assert float(child.v) == 2
    status.assert_consumed()


# S21
def test_a_new_object_in_the_place_of_a_restored_one_starts_afresh(tmp_path):
    path = save(Module(v=variable(2)), tmp_path / "c")
    root = Module(v=variable())
    status = restore(root, path)
    root.v = variable(9)
    assert float(root.v) == 9
    with pytest.raises(AssertionError, match="v"):
        status.assert_existing_objects_matched()


# S21
def test_an_attribute_that_is_set_in_a_constructor_after_restore(tmp_path):
    class Layer(cp.Checkpointable):
        built = False

        def __call__(self, size):
            if not self.built:
                self.kernel = cp.Variable(np.zeros(size))
                self.inner = Layer()
                self.built = True
            return self.kernel.numpy()

    first = Layer()
    first(3)
    first.kernel.assign([1, 2, 3])
    first.inner(2)
    first.inner.kernel.assign([4, 5])
    path = save(first, tmp_path / "c")
    second = Layer()
    status = restore(second, path)
    assert second(3).tolist() == [1, 2, 3]
    assert second.inner(2).tolist() == [4, 5]
    status.assert_consumed()
