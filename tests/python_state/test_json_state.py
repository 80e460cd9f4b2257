"""JSONState: what is saved comes back equal; what cannot is named by its path (S8)."""

from __future__ import annotations

import copy
import enum
import json
import math
import pickle
import re
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.tracking.json_state import _find_problem, _is_json
from tests.torture.interrupts import Interrupt

KEY = "state/.ATTRIBUTES/py_state"

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**2000), max_value=2**2000)
    | st.floats(allow_nan=False)
    | st.text()
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30
)


def same(a, b) -> bool:
    """Equal, also in types, signs of zeros and the order of keys."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    return a == b


@given(st.dictionaries(st.text(), JSON))
def test_what_is_saved_comes_back_the_same(contents):  # S8
    state, other = cp.JSONState(copy.deepcopy(contents)), cp.JSONState(old=1)
    other.deserialize(state.serialize())
    assert same(dict(other), contents)
    assert other.serialize() == state.serialize()  # S13


class Text(str):
    pass


OTHERS = st.sampled_from([(), b"x", {1}, 1j, np.float32(1), np.arange(2), Text("t"), enum.Flag])
KEYS = st.text(max_size=2) | st.integers(0, 1) | st.none() | st.builds(Text)
ANYTHING = st.recursive(
    LEAVES | OTHERS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.tuples(inner)
        | st.builds(OrderedDict, st.dictionaries(st.text(max_size=2), inner, max_size=2))
    ),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=4), st.sampled_from([0, 0, 0, 197, 198, 199, 200]))
def test_the_quick_look_sees_what_the_one_that_names_it_sees(contents, deeper):
    for _ in range(deeper):
        contents = {"k": contents}
    if _is_json(contents):
        assert _find_problem(contents) is None
    # It may leave to the other what is unusual, but not what everybody has.
    elif deeper == 0 and same(contents, json.loads(json.dumps(contents, default=repr))):
        raise AssertionError("it was left to the slow way")


def test_it_travels_in_a_checkpoint(tmp_path):  # S8, S17
    state = cp.JSONState(epoch=1, seen=["a"])
    checkpoint = cp.Checkpoint(state=state)
    first = checkpoint.save(tmp_path / "ckpt")
    state["seen"].append("b")
    state["nested"] = {"deep": [1, [2.5, None, True]]}
    second = checkpoint.save(tmp_path / "ckpt")
    del state["nested"]
    state["epoch"] = 7

    checkpoint.restore(second).assert_consumed()
    assert state == {"epoch": 1, "seen": ["a", "b"], "nested": {"deep": [1, [2.5, None, True]]}}
    checkpoint.restore(first).assert_consumed()
    assert state == {"epoch": 1, "seen": ["a"]}
    with cp.load_checkpoint(second) as reader:
        assert json.loads(reader.get_tensor(KEY))["seen"] == ["a", "b"]


def test_it_is_restored_when_it_is_created(tmp_path):  # S21
    path = cp.Checkpoint(state=cp.JSONState(epoch=3)).save(tmp_path / "ckpt")
    root = cp.Checkpoint()
    status = root.restore(path)
    root.state = cp.JSONState()
    assert root.state == {"epoch": 3}
    status.assert_consumed()


def test_the_object_stays_and_its_contents_are_replaced():
    state = cp.JSONState(a=1)
    alias = state
    state.deserialize(b'{"b": [1]}')
    assert alias is state
    assert dict(alias) == {"b": [1]}


def test_infinities_and_nan_come_back():
    state = cp.JSONState(up=math.inf, down=-math.inf, none=math.nan, zero=-0.0)
    other = cp.JSONState()
    other.deserialize(state.serialize())
    assert (other["up"], other["down"]) == (math.inf, -math.inf)
    assert math.isnan(other["none"])
    assert math.copysign(1, other["zero"]) == -1


class Color(enum.IntEnum):
    RED = 2


def test_a_subclass_comes_back_as_what_it_extends():
    state = cp.JSONState(
        a=np.float64(0.1), b=Color.RED, c=np.str_("x"), d=OrderedDict(k=1), e=cp.List([1])
    )
    other = cp.JSONState()
    other.deserialize(state.serialize())
    assert same(dict(other), {"a": 0.1, "b": 2, "c": "x", "d": {"k": 1}, "e": [1]})


def a_cycle():
    inner = [1]
    inner.append({"again": inner})
    return inner


def nested(depth):
    inner = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("contents", "path", "what"),
    [
        ({"a": (1, 2)}, "a", "a tuple is not JSON; use a list"),
        ({"a": [0, {"b c": {1}}]}, "a[1]['b c']", "a set is not JSON"),
        ({"a": {"b": [1, b"x"]}}, "a.b[1]", "a bytes is not JSON"),
        ({"a": np.zeros(2)}, "a", "ndarray is not JSON; make it a cp.Variable"),
        ({"a": np.float32(1)}, "a", "a float32 is not JSON"),
        ({"a": [1, 2j]}, "a[1]", "a complex is not JSON"),
        ({"a": {1: 2}}, "a", "the key 1 is a int; JSON keys must be strings"),
        ({"a": {None: 2}}, "a", "the key None is a NoneType"),
        ({5: 2}, "the state itself", "the key 5 is a int"),
        ({"a": {(): 2}}, "a", "the key () is a tuple"),
        ({"a": a_cycle()}, "a[1].again", "it contains itself"),
        ({"a": ["ok", "\ud800"]}, "a[1]", "it is not valid Unicode (it has a lone surrogate)"),
        ({"a": {"\udfff": 1}}, "a", "the key '\\udfff' is not valid Unicode"),
        ({"a": nested(300)}, "a" + "[0]" * 199, "it is nested more than 200 deep"),
        ({"a": nested(100_000)}, "a" + "[0]" * 199, "it is nested more than 200 deep"),
        ({"a": 1, "b": cp.Variable(1)}, "b", "a Variable is not JSON"),
        # NaN is no problem, but hides none either
        ({"a": math.nan, "b": [math.nan, object()]}, "b[1]", "a object is not JSON"),
    ],
)
def test_what_is_not_json_is_named_by_its_path(contents, path, what, tmp_path):  # S8
    checkpoint = cp.Checkpoint(state=cp.JSONState(contents))
    with pytest.raises(ValueError, match=f"^state: {re.escape(path)}: .*{re.escape(what)}"):
        checkpoint.save(tmp_path / "ckpt")
    assert cp.latest_checkpoint(tmp_path) is None  # nothing was written


def test_the_first_problem_is_the_one_that_is_named():
    with pytest.raises(ValueError, match=r"^a\[0\]"):
        cp.JSONState({"a": [(), ()], "b": ()}).serialize()


def test_the_depth_that_is_allowed_comes_back():
    state = cp.JSONState(a=nested(198))
    other = cp.JSONState()
    other.deserialize(state.serialize())
    assert other == state


def test_an_int_beyond_the_digits_that_python_reads_is_refused():
    huge = 10**5000
    try:
        int(str(huge))
    except ValueError:
        with pytest.raises(ValueError, match=r"^a\[1\]: the int cannot be written"):
            cp.JSONState(a=[1, huge]).serialize()


def test_two_objects_that_share_a_list_do_not_contain_themselves():
    shared = [1]
    state = cp.JSONState(a=shared, b=[shared, shared])
    assert json.loads(state.serialize()) == {"a": [1], "b": [[1], [1]]}


def test_a_million_numbers_take_the_fast_way(monkeypatch):
    def slow(item):
        raise AssertionError("every item was looked at by itself")

    state = cp.JSONState(numbers=list(range(1_000_000)))
    monkeypatch.setattr("checkpointable.tracking.json_state._problem", slow)
    other = cp.JSONState()
    other.deserialize(state.serialize())
    assert other["numbers"][-1] == 999_999


@pytest.mark.parametrize(
    "stored",
    [
        *(b"", b"{", b'{"a": }', b"nonsense", b'{"a": 1} x', b"\xff\xfe", b'\xef\xbb\xbf{"a": 1}'),
        *(b'{"a": "\x00"}', b"[" * 100_000, b'{"a":' * 100_000, "{}".encode("utf-16")),
        b"{1: 2}",
    ],
)
def test_what_is_no_json_is_corrupt_and_changes_nothing(stored):
    state = cp.JSONState(kept=1)
    with pytest.raises(cp.CheckpointCorruptError):
        state.deserialize(stored)
    assert state == {"kept": 1}


@pytest.mark.parametrize("stored", [b"[1]", b"1", b"null", b'"text"', b"true", b"NaN"])
def test_what_is_no_object_is_a_mismatch_and_changes_nothing(stored):
    state = cp.JSONState(kept=1)
    with pytest.raises(cp.CheckpointMismatchError, match=r"in the checkpoint is a \w+, not a dict"):
        state.deserialize(stored)
    assert state == {"kept": 1}


@given(st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused_by_name(stored):
    state = cp.JSONState(kept=1)
    try:
        state.deserialize(stored)
    except cp.CheckpointError:
        assert state == {"kept": 1}


def test_damage_in_a_checkpoint_names_the_key(tmp_path):  # S33
    class Broken(cp.PythonState):
        def serialize(self):
            return b"{"

        def deserialize(self, string_value):
            raise NotImplementedError

    path = cp.Checkpoint(state=Broken()).save(tmp_path / "ckpt")
    checkpoint = cp.Checkpoint(state=cp.JSONState(kept=1))
    with pytest.raises(cp.CheckpointCorruptError) as caught:
        checkpoint.restore(path)
    assert caught.value.key == KEY
    assert checkpoint.state == {"kept": 1}


def test_it_is_a_dict_for_everybody():
    state = cp.JSONState({"a": 1}, b=2)
    assert isinstance(state, dict)
    assert state == {"a": 1, "b": 2}
    assert json.dumps(state) == '{"a": 1, "b": 2}'
    assert repr(state) == "JSONState({'a': 1, 'b': 2})"
    for copied in (copy.copy(state), copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert type(copied) is cp.JSONState
        copied["a"] = 5
        assert state["a"] == 1


def test_an_empty_one_is_saved_and_restored_too(tmp_path):
    path = cp.Checkpoint(state=cp.JSONState()).save(tmp_path / "ckpt")
    checkpoint = cp.Checkpoint(state=cp.JSONState(a=1))
    checkpoint.restore(path).assert_consumed()
    assert checkpoint.state == {}


def test_a_generators_state_is_no_plain_data():
    stored = cp.RandomState().serialize()
    with pytest.raises(cp.CheckpointMismatchError, match=r"random\.Random, .* JSONState"):
        cp.JSONState().deserialize(stored)
    with pytest.raises(ValueError, match="reserved"):
        cp.JSONState(json.loads(stored)).serialize()


def test_checking_says_what_restoring_would_and_changes_nothing():  # S25
    state = cp.JSONState(kept=1)
    value = state._gather_saveables_for_checkpoint()["py_state"](KEY)
    value.check(b'{"a": 1}')
    with pytest.raises(cp.CheckpointCorruptError) as caught:
        value.check(b"{")
    assert caught.value.key == KEY
    assert state == {"kept": 1}


def test_an_interrupt_leaves_the_old_or_the_new():
    old, new = {"a": 1, "b": 1}, {"c": 3, "a": 2}
    stored = cp.JSONState(new).serialize()
    with Interrupt(-1) as counted:
        cp.JSONState(old).deserialize(stored)
    assert counted.seen > 5
    for at in range(counted.seen):
        state = cp.JSONState(old)
        with Interrupt(at), pytest.raises(KeyboardInterrupt):
            state.deserialize(stored)
        assert state in (old, new), at
    state.deserialize(stored)
    assert list(state) == ["c", "a"]
