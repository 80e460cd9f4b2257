"""Checkpoint: named objects, and the counter of its saves."""

from __future__ import annotations

import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Module, edges, keys, variable


def has_counter(checkpoint):
    return checkpoint._lookup_dependency("save_counter") is not None


# S15
def test_objects_are_tracked_in_sorted_order(tmp_path):
    ckpt = cp.Checkpoint(zebra=variable(1), alpha=variable(2), model=Module(v=variable(3)))
    path = ckpt.write(tmp_path / "c")
    assert edges(path) == [(0, "alpha", 1), (0, "model", 2), (0, "zebra", 3), (2, "v", 4)]
    assert float(ckpt.zebra) == 1
    assert float(ckpt.model.v) == 3


# S15
def test_the_counter_numbers_the_saves_and_is_saved_with_them(tmp_path):
    ckpt = cp.Checkpoint(v=variable(1))
    paths = [ckpt.save(tmp_path / "c") for _ in range(3)]
    assert paths == [str(tmp_path / f"c-{number}") for number in (1, 2, 3)]
    assert int(ckpt.save_counter) == 3
    for number, path in enumerate(paths, 1):
        with cp.load_checkpoint(path) as reader:
            assert reader.get_tensor("save_counter/.ATTRIBUTES/VARIABLE_VALUE") == number
    assert ckpt.save_counter.dtype == np.int64

    other = cp.Checkpoint(v=variable())
    other.restore(paths[1]).assert_consumed()
    assert int(other.save_counter) == 2
    assert other.save(tmp_path / "c") == paths[2]


# S15
def test_the_counter_is_made_by_the_first_save_restore_or_access(tmp_path):
    path = cp.Checkpoint(v=variable(1)).save(tmp_path / "a")
    ckpt = cp.Checkpoint(v=variable())
    assert not has_counter(ckpt)
    ckpt.write(tmp_path / "b")
    assert not has_counter(ckpt)
    ckpt.read(path).expect_partial()
    assert not has_counter(ckpt)
    assert int(ckpt.save_counter) == 1  # a restore waited for it
    assert has_counter(ckpt)

    restored = cp.Checkpoint(v=variable())
    restored.restore(path).assert_consumed()
    assert has_counter(restored)
    saved = cp.Checkpoint(v=variable())
    saved.save(tmp_path / "c")
    assert has_counter(saved)


# S15
def test_write_neither_numbers_nor_touches_the_state_file(tmp_path):
    ckpt = cp.Checkpoint(v=variable(1))
    path = ckpt.write(tmp_path / "c")
    assert path == str(tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.data-00000-of-00001", "c.index"]
    assert keys(path) == ["v"]
    _ = ckpt.save_counter
    assert keys(ckpt.write(tmp_path / "d")) == ["save_counter", "v"]
    assert int(ckpt.save_counter) == 0


# S15
def test_read_restores_what_write_wrote_and_demands_no_counter(tmp_path):
    path = cp.Checkpoint(v=variable(7)).write(tmp_path / "c")
    ckpt = cp.Checkpoint(v=variable())
    ckpt.read(path).assert_consumed()
    assert float(ckpt.v) == 7
    counted = cp.Checkpoint(v=variable())
    with pytest.raises(AssertionError, match="save_counter"):
        counted.restore(path).assert_consumed()  # restore makes one, and the file has none
    assert float(counted.v) == 7


# S15
def test_a_root_is_the_root_itself(tmp_path):
    model = Module(kernel=variable(1))
    ckpt = cp.Checkpoint(model)
    path = ckpt.save(tmp_path / "c")
    assert keys(path) == ["kernel", "save_counter"]
    assert (0, "root", 0) in edges(path)
    assert model._lookup_dependency("save_counter") is None  # nothing is assigned to it
    model.kernel.assign(0)
    cp.CheckpointableSaver(model).restore(path).expect_partial()
    assert float(model.kernel) == 1
    again = cp.Checkpoint(root=Module(kernel=variable()))
    again.restore(path).assert_consumed()
    assert int(again.save_counter) == 1
    assert again.save(tmp_path / "c").endswith("c-2")


# S15
def test_objects_beside_a_root_are_attached_to_it(tmp_path):
    model, step = Module(kernel=variable(1)), variable(2)
    ckpt = cp.Checkpoint(root=model, step=step)
    assert ckpt.step is step
    path = ckpt.save(tmp_path / "c")
    assert keys(path) == ["kernel", "save_counter", "step"]
    for value in (model.kernel, step):
        value.assign(0)
    ckpt.restore(path).assert_consumed()
    assert (float(model.kernel), float(step)) == (1, 2)
    late = cp.Checkpoint(root=Module(), step=variable())
    status = late.restore(path)
    late.root.kernel = variable()
    status.assert_consumed()
    assert float(late.root.kernel) == 1


# S4
def test_what_is_to_be_left_out_is_left_out_beside_a_root_too(tmp_path):
    teacher = variable(2)
    for root in (None, Module(v=variable(1))):
        checkpoint = cp.Checkpoint(
            root=root, teacher=cp.NoDependency(teacher), n=cp.NoDependency(3)
        )
        assert checkpoint.teacher is teacher
        assert checkpoint.n == 3
        saved = keys(checkpoint.write(tmp_path / "c"))
        assert not [key for key in saved if "teacher" in key]


# S15
def test_an_attached_object_may_be_a_dependency_of_the_root_of_that_name():
    model = Module(step=variable(2))
    cp.Checkpoint(root=model, step=model.step)
    with pytest.raises(ValueError, match="the root already has another dependency named 'step'"):
        cp.Checkpoint(root=model, step=variable())


# S15
def test_a_counter_that_the_root_has_already_is_used(tmp_path):
    model = Module(save_counter=cp.Variable(41))
    assert cp.Checkpoint(model).save(tmp_path / "c").endswith("c-42")
    assert int(model.save_counter) == 42


# S15
def test_what_cannot_be_saved_is_refused_at_once():
    with pytest.raises(
        ValueError, match=r"'thing' cannot be saved: its state is a builtins\.object"
    ):
        cp.Checkpoint(thing=object())
    with pytest.raises(ValueError, match=r"'things' cannot be saved: its state\.a\[1\] is a"):
        cp.Checkpoint(things={"a": [1, object()]})
    with pytest.raises(ValueError, match="'root' is of type ndarray"):
        cp.Checkpoint(np.zeros(3))
    for name in ("save", "restore", "save_counter"):
        with pytest.raises(ValueError, match=f"{name!r} is an attribute of this class; choose"):
            cp.Checkpoint(**{name: variable()})


# S15
def test_a_failed_save_does_not_count(tmp_path):
    class Broken(cp.PythonState):
        def serialize(self):
            raise RuntimeError("no state today")

        def deserialize(self, string_value):
            raise AssertionError("never")

    ckpt = cp.Checkpoint(v=variable())
    first = ckpt.save(tmp_path / "c")
    ckpt.broken = Broken()
    with pytest.raises(RuntimeError, match="no state today"):
        ckpt.save(tmp_path / "c")
    assert int(ckpt.save_counter) == 1
    assert cp.latest_checkpoint(tmp_path) == first
    del ckpt.broken
    assert ckpt.save(tmp_path / "c").endswith("c-2")


# S15
def test_containers_as_objects(tmp_path):
    ckpt = cp.Checkpoint(items=[variable(1), {"a": variable(2)}], root_=(variable(3),))
    path = ckpt.save(tmp_path / "c")
    assert keys(path) == ["items/0", "items/1/a", "root_/0", "save_counter"]
    ckpt.items.append(variable(4))
    assert "items/2" in keys(ckpt.save(tmp_path / "c"))


# S15 S17
def test_attributes_may_be_added_later(tmp_path):
    ckpt = cp.Checkpoint()
    ckpt.later = variable(5)
    assert keys(ckpt.save(tmp_path / "c")) == ["later", "save_counter"]
