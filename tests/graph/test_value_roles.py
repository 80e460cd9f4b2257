"""A value is a source, a target, both, or an executor acts for it; none has methods of another."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np

import checkpointable as cp
from checkpointable import adapters, tracking
from checkpointable.adapters.state.values import StateValues
from checkpointable.graph.value import ReadValue, SplitValue, ValueSource, ValueSpec, ValueTarget

READING, WRITING = {"read", "fresh"}, {"write", "check", "settle", "filled", "memory"}


def all_values():
    for package in (adapters, tracking):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    classes = [ValueSpec]
    for cls in classes:
        classes += [sub for sub in cls.__subclasses__() if sub not in classes]
    return classes


def test_no_class_has_methods_of_a_role_that_it_does_not_have():
    import tensorflow as tf  # noqa: F401
    import torch  # noqa: F401

    classes = all_values()
    assert len(classes) > 15
    for cls in classes:
        names = {name for base in cls.__mro__ for name in vars(base)}
        assert not names & READING or issubclass(cls, ValueSource), cls
        assert not names & WRITING or issubclass(cls, ValueTarget), cls


def test_what_a_value_is_by_its_functions():
    value = cp.Value("float32", (2, None), lambda: None, lambda _: None)
    assert isinstance(value, ValueSource)
    assert isinstance(value, ValueTarget)
    assert repr(value) == "<Value float32, shape (2, None)>"
    read_only = ReadValue("string", None, lambda: b"x")
    assert read_only.read() == b"x"
    assert not hasattr(read_only, "write")
    split = SplitValue({"/a": value})
    assert split.parts == {"/a": value}
    assert not hasattr(split, "read")


def test_an_object_of_which_a_save_reads_one_value_and_a_restore_writes_another(tmp_path):
    class Doubled(ValueTarget):
        def __init__(self, owner):
            self.dtype, self.shape, self.memory = np.dtype("float64"), (2,), None
            self.owner = owner

        def write(self, contents):
            self.owner.given = contents * 2

    class Owner(cp.Checkpointable):
        given = None

        def _gather_saveables_for_checkpoint(self):
            if self.restoring:
                return {"VALUE": Doubled(self)}
            return {"VALUE": ReadValue("float64", (2,), lambda: np.array([1.0, 2.0]))}

    owner = Owner()
    owner.restoring = False
    prefix = cp.Checkpoint(owner=owner).save(tmp_path / "c")
    owner.restoring = True
    cp.Checkpoint(owner=owner).restore(prefix).assert_consumed()
    assert owner.given.tolist() == [2.0, 4.0]


def test_a_state_is_read_by_sources_and_written_by_targets():
    class Holder:
        state = None

        def get(self):
            return {"a": np.zeros(2)}

    holder = Holder()
    saved = StateValues(holder.get, lambda state, uid: None)
    for name in list(saved):
        made = saved[name]
        value = made if isinstance(made, ValueSpec) else made(name)
        assert isinstance(value, ValueSource)
        assert not isinstance(value, ValueTarget)
    coming = StateValues(holder.get, lambda state, uid: None)
    value = coming["py_state/a"]
    assert isinstance(value, ValueTarget)
    assert not isinstance(value, ValueSource)
