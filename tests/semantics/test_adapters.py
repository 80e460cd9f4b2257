"""The quick ways of the adapters of the library's own objects answer what the plain ones do."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.adapters.own import _CheckpointableAdapter, _VariableAdapter
from checkpointable.graph.registry import adapter_of
from tests.adapters import assert_all_agree, assert_answers_agree
from tests.semantics.test_hooks import Conditional

RUN = settings(max_examples=60, deadline=None, database=None)
NAMES = st.sampled_from(["a", "b", "0", "1", "kernel", "é", "a/b", "_x"])


class Anything:
    """Of no library that is known, with a state."""

    def __init__(self):
        self.state = {"n": 1, "array": np.arange(3)}

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


class Absent(cp.Value):
    absent = True


class Valued(cp.Checkpointable):
    """Values of its own, one made late and one that is not there yet."""

    def _gather_saveables_for_checkpoint(self):
        absent = Absent("float32", (), lambda: 0, print)
        return {
            "one": cp.Value("int64", (), lambda: 1, print),
            "late": lambda key: cp.Value("string", (), lambda: key, print),
            "absent": absent,
        }


class SubVariable(cp.Variable):
    """Not exactly a variable: the plain way."""


LEAVES = st.one_of(
    st.builds(cp.Variable, st.floats(-9, 9) | st.binary(max_size=3)),
    st.builds(lambda v: cp.Variable(v, name="global"), st.integers(0, 9)),
    st.builds(SubVariable, st.integers(0, 9)),
    st.builds(lambda v: cp.JSONState(v=v), st.integers(0, 9)),
    st.builds(lambda seed: cp.RandomState(random.Random(seed)), st.integers(0, 9)),
    st.builds(lambda s: cp.NumpyRandomState(np.random.default_rng(s)), st.integers(0, 9)),
    st.builds(Valued),
    st.builds(Anything),
)


def module(children):
    made = cp.Checkpointable()
    for name, child in children.items():
        made._track_checkpointable(child, name)
    made.untracked = cp.NoDependency(cp.Variable(0))
    return made


def conditional(children):
    made = Conditional()
    made.v = cp.Variable(1)
    made.by_key.update(children)
    return made


def optimizer(children):
    made = cp.Optimizer()
    made.all = children
    for child in children:
        if isinstance(child, cp.Variable):
            made.add_slot(child, "m", 0.0)
    return made


def held(kind):
    """A container, as it is once it was assigned."""

    def hold(contents):
        owner = cp.Checkpointable()
        owner.it = kind(contents)
        return owner

    return hold


PROGRAMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, max_size=4).map(module),
        st.dictionaries(NAMES.filter(lambda n: n != "v"), inner, max_size=3).map(conditional),
        st.lists(inner, max_size=4).map(optimizer),
        st.lists(inner | st.integers(), max_size=4).map(held(list)),
        st.lists(inner | st.integers(), max_size=4).map(held(tuple)),
        st.dictionaries(NAMES, inner | st.integers(), max_size=4).map(held(dict)),
    ),
    max_leaves=12,
)


@RUN
@given(PROGRAMS)
def test_answers_agree(program):
    assert_all_agree(cp.Checkpoint(program=program))


def described(value):
    assert isinstance(value, cp.Value)
    memory = None if value.memory is None else (value.memory.ctypes.data, value.memory.shape)
    contents = np.asarray(value.read()).tolist()
    return value.dtype, value.shape, memory, value.fresh, value.absent, contents


@RUN
@given(
    st.sampled_from(["float32", "int8", "complex64", "bfloat16", "string"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.none() | st.just("global name"),
)
def test_a_variable_is_what_a_checkpointable_with_its_hooks_is(dtype, shape, name):
    contents = np.full(shape, b"x" if dtype == "string" else 1, dtype=object)
    variable = cp.Variable(contents, name=name, dtype=dtype)
    quick, plain = adapter_of(variable), _CheckpointableAdapter(cp.Variable)
    assert type(quick) is _VariableAdapter
    assert list(quick.children(variable)) == list(plain.children(variable))
    quick_values, plain_values = quick.values(variable), plain.values(variable)
    assert list(quick_values) == list(plain_values) == list(quick.value_names(variable))
    for attribute, value in quick_values.items():
        assert described(value) == described(plain_values[attribute])
    assert list(quick.value_names(variable)) == list(plain.value_names(variable))
    assert quick.full_name(variable) == plain.full_name(variable)
    assert quick.notes(variable) is plain.notes(variable)
    assert quick.slots(variable) is plain.slots(variable) is None
    assert quick.watcher is plain.watcher
    assert quick.initializable(variable) is plain.initializable(variable)
    assert_answers_agree(plain, variable)
    # And either way a restore writes to the same memory.
    new = np.full(shape, b"y" if dtype == "string" else 2, dtype=object)
    for values in (quick_values, plain_values):
        ((_, value),) = values.items()
        value.write(new if dtype == "string" else new.astype(variable.dtype))
        assert variable.numpy().tolist() == new.astype(variable.dtype).tolist()
