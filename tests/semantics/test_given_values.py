"""Plain values that are given to a Checkpoint by name are state (S42)."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict

import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.tracking import given as given_module


def save(path, **values):
    return cp.Checkpoint(**values).write(path / "ck", durability="flush")


def alike(a, b):
    """Equal, and of the same types at every depth."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return [*a] == [*b] and all(
            type(k) is type(m) and alike(a[k], b[m]) for k, m in zip(a, b, strict=True)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return repr(a) == repr(b)  # NaN and -0.0 too


# S42
@pytest.mark.parametrize(
    "value",
    [
        *(0, 3, True, 0.5, float("inf"), "text", "", b"\x00\xff", None, 1 + 2j, 10**30),
        *(np.float16(1.5), np.int64(-3), np.bool_(True), np.arange(6.0).reshape(2, 3)),
        *((1, 2.0), {"epoch": 3, "best": 0.5}, [0.3, 0.2], [], {}, {1: "a", "1": "b"}),
        {"mean": np.ones(3), "nested": [{"deep": (1, [2])}]},
        OrderedDict([("b", 1), ("a", 2)]),
    ],
    ids=repr,
)
def test_a_value_comes_back_as_it_was(value, tmp_path):
    path = save(tmp_path, value=value)
    other = cp.Checkpoint(value=None)
    other.read(path).assert_consumed()
    assert alike(other.value, value)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=12,
)


# S42
@given(
    st.dictionaries(st.text(max_size=4), _PLAIN, max_size=4),
    st.dictionaries(st.text(max_size=4), _PLAIN, max_size=4),
)
def test_any_dict_is_restored_into_any_other(tmp_path_factory, saved, present):
    path = save(tmp_path_factory.mktemp("given"), state=saved)
    other = cp.Checkpoint(state=present)
    try:
        other.read(path).assert_consumed()
    except cp.CheckpointMismatchError:  # an inner container of another kind
        pytest.fail("plain values take the place of each other")
    assert other.state is present
    assert alike(present, saved)


# S42
def test_containers_stay_the_programs_own(tmp_path):
    inner = {"a": [1, 2]}
    config = {"inner": inner, "pair": (inner, 3)}
    checkpoint = cp.Checkpoint(config=config)
    checkpoint.save(tmp_path / "ckpt")
    assert checkpoint.config is config
    assert config["inner"] is inner
    assert type(inner) is dict
    assert type(inner["a"]) is list


# S42
def test_a_restore_changes_containers_in_place(tmp_path):
    path = save(tmp_path, progress={"epoch": 3, "seen": [1, 2], "more": 1}, losses=[0.5, 0.25])
    seen, losses = [9], [1.0, 2.0, 3.0]
    progress = {"seen": seen, "epoch": 0, "other": 7}
    array = np.zeros(2)
    other = cp.Checkpoint(progress=progress, losses=losses)
    other.read(path).assert_consumed()
    assert progress == {"epoch": 3, "seen": [1, 2], "more": 1}
    assert progress["seen"] is seen
    assert other.losses is losses
    assert losses == [0.5, 0.25]
    path = save(tmp_path, array=np.array([1.0, 2.0]))
    cp.Checkpoint(array=array).read(path).assert_consumed()
    assert array.tolist() == [1.0, 2.0]


# S42
def test_a_save_reads_what_is_there_then(tmp_path):
    progress = {"epoch": 0}
    checkpoint = cp.Checkpoint(progress=progress, step=0)
    progress["epoch"] = 4  # under its old name
    checkpoint.step += 5
    path = checkpoint.save(tmp_path / "ckpt")
    checkpoint.progress = {"epoch": 6}  # another dict in its place
    later = checkpoint.save(tmp_path / "ckpt")
    other = cp.Checkpoint(progress={}, step=0)
    other.restore(path)
    assert (other.progress, other.step) == ({"epoch": 4}, 5)
    other.restore(later)
    assert (other.progress, other.step) == ({"epoch": 6}, 5)


class _Program:
    def __init__(self, fill):
        self.model = torch.nn.Linear(2, 2)
        self.inner = torch.nn.Linear(1, 1)
        self.tensor = torch.full((3,), float(fill))
        for parameter in (*self.model.parameters(), *self.inner.parameters()):
            torch.nn.init.constant_(parameter, fill)
        self.parts = [self.model, {"inner": self.inner, "n": fill}, fill, (self.inner, fill)]
        self.stats = {"mean": self.tensor, "count": fill, "array": np.full(2, fill)}
        self.checkpoint = cp.Checkpoint(parts=self.parts, stats=self.stats)


# S42
def test_containers_mix_objects_and_plain_values(tmp_path):
    path = _Program(7).checkpoint.write(tmp_path / "ck")
    keys = [key for key, _ in cp.list_variables(path)]
    assert "parts/0/weight/.ATTRIBUTES/VARIABLE_VALUE" in keys
    assert "parts/1/inner/weight/.ATTRIBUTES/VARIABLE_VALUE" in keys
    program = _Program(0)
    before = program.tensor, program.parts[1]
    program.checkpoint.read(path).assert_consumed()
    assert program.stats["count"] == 7
    assert program.stats["array"].tolist() == [7, 7]
    assert program.stats["mean"] is before[0]
    assert before[0].tolist() == [7.0] * 3
    assert program.parts[1] is before[1]
    assert before[1]["n"] == 7
    assert program.parts[2] == 7
    assert program.parts[3] == (program.inner, 7)
    assert program.inner.weight.item() == 7.0


# S42
def test_a_list_of_objects_is_saved_as_tensorflow_saves_it(tmp_path):
    ours = cp.Checkpoint(
        layers=[cp.Variable(1.0), [cp.Variable(2.0)]], named={"a": cp.Variable(3.0)}
    )
    theirs = tf.train.Checkpoint(
        layers=[tf.Variable(0.0, dtype=tf.float64), [tf.Variable(0.0, dtype=tf.float64)]],
        named={"a": tf.Variable(0.0, dtype=tf.float64)},
    )
    theirs.restore(ours.save(tmp_path / "ckpt")).assert_consumed()
    assert float(theirs.layers[0]) == 1.0
    assert float(theirs.layers[1][0]) == 2.0
    assert float(theirs.named["a"]) == 3.0
    back = cp.Checkpoint(
        layers=[cp.Variable(0.0), [cp.Variable(0.0)]], named={"a": cp.Variable(0.0)}
    )
    back.restore(theirs.save(tmp_path / "tf")).assert_consumed()
    assert float(back.layers[1][0].numpy()) == 2.0


# S42, S21
def test_an_object_that_is_appended_later_gets_its_value(tmp_path):
    path = save(tmp_path, layers=[cp.Variable(1.0), cp.Variable(2.0)])
    layers = [cp.Variable(0.0)]
    status = cp.Checkpoint(layers=layers).read(path)
    late = cp.Variable(0.0)
    layers.append(late)
    status.assert_consumed()
    assert float(late.numpy()) == 2.0


# S42
def test_a_long_list_is_looked_through_once(tmp_path, monkeypatch):
    path = save(tmp_path, layers=[cp.Variable(float(i)) for i in range(300)])
    layers = [cp.Variable(0.0) for _ in range(300)]
    checkpoint = cp.Checkpoint(layers=layers)
    looks = []
    monkeypatch.setattr(given_module, "_is_object", lambda item: looks.append(1) or True)
    checkpoint.read(path)
    assert float(layers[-1].numpy()) == 299.0
    assert len(looks) < 20 * 300  # not once for each pair


# S42
def test_a_value_that_the_checkpoint_lacks_stays(tmp_path):
    path = save(tmp_path, x=cp.Variable(1.0))
    other = cp.Checkpoint(x=cp.Variable(0.0), counts={"a": 1, "b": {"c": 2}}, epoch=2)
    other.read(path).assert_consumed()
    assert other.counts == {"a": 1, "b": {"c": 2}}
    assert other.epoch == 2


# S42, S25
@pytest.mark.parametrize(
    ("saved", "present", "message"),
    [
        ([1, 2], {"a": 1}, "the checkpoint has a list, the program a dict"),
        ({"a": 1}, [1], "the checkpoint has a dict, the program a list"),
        ([cp.Variable(1.0), 2], [], r"item 0 .* is an object, and the program's has 0 items"),
        ([cp.Variable(1.0), 2], 3, "a list that holds objects, the program a value of type int"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(saved, present, message, tmp_path):
    path = save(tmp_path, value=saved, x=cp.Variable(5.0))
    x = cp.Variable(0.0)
    other = cp.Checkpoint(value=present, x=x)
    before = repr(present)
    with pytest.raises(cp.CheckpointMismatchError, match=message):
        other.read(path)
    assert repr(other.value) == before
    assert float(x.numpy()) == 0.0


# S42
@pytest.mark.parametrize(
    ("value", "way"),
    [
        (np.random.default_rng(0), r"cp\.NumpyRandomState"),
        (random.Random(0), r"cp\.RandomState"),
        (torch.Generator(), r"cp\.torch\.RandomState"),
        (torch.utils.data.DataLoader([1]), "StatefulDataLoader"),
        (threading.Lock(), "without pickle"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_saved_names_the_way_out(value, way, tmp_path):
    with pytest.raises(ValueError, match=f"'thing' cannot be saved.*{way}"):
        cp.Checkpoint(thing=value)
    with pytest.raises(ValueError, match=rf"its state\.a\[0\].*{way}"):
        cp.Checkpoint(thing={"a": [value]})
    things = {"a": []}
    checkpoint = cp.Checkpoint(things=things)
    things["a"].append(value)  # later: the save says it, with the path
    with pytest.raises(ValueError, match=rf"things.*its state\.a\[0\].*{way}"):
        checkpoint.save(tmp_path / "ckpt")


# S42
def test_with_a_root_the_values_lie_beside_it(tmp_path):
    root = cp.Checkpointable()
    root.x = cp.Variable(1.0)
    path = cp.Checkpoint(root, epoch=3).save(tmp_path / "ckpt")
    other = cp.Checkpointable()
    other.x = cp.Variable(0.0)
    checkpoint = cp.Checkpoint(other, epoch=0)
    checkpoint.restore(path).assert_consumed()
    assert checkpoint.epoch == 3
    assert not hasattr(other, "epoch")


# S42, S4
def test_no_dependency_leaves_an_item_out(tmp_path):
    teacher = cp.Variable(1.0)
    path = save(tmp_path, parts=[cp.Variable(2.0), cp.NoDependency(teacher), 3])
    assert len(cp.list_variables(path)) == 3  # the graph, one variable, the state
