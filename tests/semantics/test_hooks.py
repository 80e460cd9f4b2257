"""The hooks of a custom object, which a subclass may call or override."""

from __future__ import annotations

import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Module, edges, keys, restore, save, variable


class Conditional(cp.Checkpointable):
    """An object some of whose dependencies depend on what is the case."""

    def __init__(self):
        self.by_key = cp.NoDependency({})

    @property
    def _checkpoint_dependencies(self):
        return [*super()._checkpoint_dependencies, *sorted(self.by_key.items())]

    def _lookup_dependency(self, name):
        found = super()._lookup_dependency(name)
        return self.by_key.get(name) if found is None else found


# S1
def test_dependencies_of_ones_own_are_saved_and_restored(tmp_path):
    source = Conditional()
    source.v = variable(1)
    source.by_key["b"], source.by_key["a"] = Module(x=variable(2)), variable(3)
    path = save(Module(it=source), tmp_path / "c")
    assert edges(path)[1:] == [(1, "v", 2), (1, "a", 3), (1, "b", 4), (4, "x", 5)]
    target = Conditional()
    target.v = variable()
    target.by_key["b"], target.by_key["a"] = Module(), variable()
    status = restore(Module(it=target), path)
    assert (float(target.v), float(target.by_key["a"])) == (1, 3)
    target.by_key["b"].x = variable()
    assert float(target.by_key["b"].x) == 2
    status.assert_consumed()


# S21
def test_conditional_dependencies_that_come_later(tmp_path):
    source = Conditional()
    source.by_key["a"] = variable(3)
    path = save(Module(it=source), tmp_path / "c")
    target = Conditional()
    status = restore(Module(it=target), path)
    target.by_key["a"] = variable()  # nothing tells of this
    status.assert_consumed()
    assert float(target.by_key["a"]) == 3


# S19, S21
def test_dependencies_that_are_listed_are_found_by_name_too(tmp_path):
    class Listed(cp.Checkpointable):
        def __init__(self):
            self.tracked = variable()
            self.more = cp.NoDependency({})

        @property
        def _checkpoint_dependencies(self):  # and `_lookup_dependency` is left as it is
            return [*super()._checkpoint_dependencies, *self.more.items()]

    source, target = Listed(), Listed()
    source.tracked.assign(1.0)
    source.more["a"], source.more["b"] = variable(2), variable(3)
    path = save(Module(it=source), tmp_path / "c")
    target.more["a"] = variable()
    status = restore(Module(it=target), path)
    assert (float(target.tracked), float(target.more["a"])) == (1, 2)
    target.more["b"] = variable()
    status.assert_consumed()
    assert float(target.more["b"]) == 3
    assert target._lookup_dependency("c") is None


# S2
def test_an_overridden_track_checkpointable_sees_assignments(tmp_path):
    class Renaming(cp.Checkpointable):
        def _track_checkpointable(self, checkpointable, name, overwrite=False):
            name = name.removeprefix("_")
            return super()._track_checkpointable(checkpointable, name, overwrite)

    renaming = Renaming()
    renaming._kernel = kernel = variable(1)
    assert renaming._lookup_dependency("kernel") is kernel
    renaming._kernel = variable(2)
    assert keys(save(renaming, tmp_path / "c")) == ["kernel"]


# S6
def test_an_overridden_add_variable_is_asked(tmp_path):
    class Prefixing(cp.Checkpointable):
        def _add_variable(self, name, shape=None, dtype="float32", initializer=None):
            return super()._add_variable(f"my_{name}", shape, dtype, initializer)

    prefixing = Prefixing()
    assert cp.add_variable(prefixing, "v", initializer=1.0).name == "my_v"
    assert keys(save(prefixing, tmp_path / "c")) == ["my_v"]


# S7
def test_values_may_depend_on_what_is_the_case(tmp_path):
    class Maybe(cp.Checkpointable):
        def __init__(self, contents):
            self.contents = contents

        def _gather_saveables_for_checkpoint(self):
            if self.contents is None:
                return {}

            def write(contents):
                self.contents = contents

            return {"state": cp.Value("int64", (2,), lambda: self.contents, write)}

    path = save(Module(a=Maybe(np.array([1, 2])), b=Maybe(None)), tmp_path / "c")
    assert keys(path) == ["a"]
    root = Module(a=Maybe(np.zeros(2, np.int64)), b=Maybe(None))
    restore(root, path).assert_consumed()
    assert root.a.contents.tolist() == [1, 2]
    root = Module(a=Maybe(None), b=Maybe(None))
    with pytest.raises(AssertionError, match=r"have no object: a \(state\)"):
        restore(root, path).expect_partial().assert_consumed()


# S7 S25
def test_what_refuses_a_value_of_its_own_changes_nothing_in_memory(tmp_path):
    class Refusing(cp.Checkpointable):
        def _gather_saveables_for_checkpoint(self):
            def write(contents):
                raise RuntimeError("not today")

            return {"state": cp.Value("int64", (), lambda: np.int64(3), write)}

    path = save(Module(a=variable(1), z=Refusing()), tmp_path / "c")
    root = Module(a=variable(5), z=Refusing())
    with pytest.raises(RuntimeError, match="not today"):
        restore(root, path)
    assert float(root.a) == 5
