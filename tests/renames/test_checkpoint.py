"""Checkpoints whose files are renamed: read by us and by TensorFlow, every byte covered."""

from __future__ import annotations

import errno
import os
from typing import Any

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.bundle import BundleReader, DataType, ValueToWrite, write_bundle
from checkpointable.graph.dtypes import as_string_array
from checkpointable.graph.encoding import encode_graph
from checkpointable.graph.message import graph_message_class
from checkpointable.graph.object_graph import Attribute, Child, Node, ObjectGraph
from checkpointable.graph.paths import GRAPH_KEY, VARIABLE_VALUE
from checkpointable.graph.stored import read_graph
from checkpointable.maintenance.rename import rename_checkpoint
from tests.bundle.test_rekey import assert_every_change_is_found, copied


class Part(cp.Checkpointable):
    def __init__(self, **parts: Any) -> None:
        for name, part in parts.items():
            setattr(self, name, part)


class Momentum(cp.Optimizer):
    def __init__(self, *variables: cp.Variable) -> None:
        super().__init__()
        self.rate = cp.Variable(np.float32(0.25))
        for number, variable in enumerate(variables):
            slot = self.add_slot(variable, "momentum", np.zeros(variable.shape, variable.dtype))
            slot.assign(np.full(variable.shape, number + 1, variable.dtype))


def layer(start):
    return Part(kernel=cp.Variable(np.arange(4.0) + start), bias=cp.Variable(np.float32(start)))


def program(kind="blocks", inner="kernel"):
    first, second = layer(1), layer(2)
    model = Part(encoder=Part(**{kind: [first, second]}), tied=second)
    model.owner = model
    state = cp.JSONState(epoch=3)
    return Part(model=model, optimizer=Momentum(first.kernel, second.kernel), state=state)


def write(root, prefix):
    return cp.Checkpoint(root=root).write(prefix)


def values(prefix):
    with BundleReader(prefix) as reader:
        assert reader.verify() == []
        return {key: reader.get_tensor(key) for key in reader.keys() if key != GRAPH_KEY}


def test_an_object_based_checkpoint(tmp_path):
    source = write(program(), tmp_path / "a")
    target = rename_checkpoint(
        source, tmp_path / "b", {"model/encoder/blocks": "model/encoder/layers"}
    )
    assert target == str(tmp_path / "b")
    fresh = program("layers")
    fresh.model.encoder.layers[1].kernel.assign(np.zeros(4))
    fresh.optimizer.get_slot(fresh.model.tied.kernel, "momentum").assign(np.zeros(4))
    fresh.state.clear()
    cp.Checkpoint(root=fresh).read(target).assert_consumed()
    np.testing.assert_array_equal(fresh.model.tied.kernel.numpy(), np.arange(4.0) + 2)
    slot = fresh.optimizer.get_slot(fresh.model.tied.kernel, "momentum")
    np.testing.assert_array_equal(slot.numpy(), [2, 2, 2, 2])
    assert fresh.state == {"epoch": 3}


def test_keys_are_those_that_a_save_would_write(tmp_path):
    """Also of slots, which have two paths in theirs."""
    source = write(program(), tmp_path / "a")
    rename_checkpoint(source, tmp_path / "b", {"model/encoder/blocks": "model/encoder/layers"})
    write(program("layers"), tmp_path / "c")
    assert set(values(tmp_path / "b")) == set(values(tmp_path / "c"))
    with BundleReader(tmp_path / "b") as one, BundleReader(tmp_path / "c") as other:
        assert read_graph(one) == read_graph(other)
    rename_checkpoint(source, tmp_path / "d", {"optimizer": "train/momentum"})
    assert (
        "model/encoder/blocks/0/kernel/.OPTIMIZER_SLOT/train/momentum/momentum/.ATTRIBUTES/"
        "VARIABLE_VALUE"
    ) in values(tmp_path / "d")


def test_the_data_is_the_same_file(tmp_path):
    source = write(program(), tmp_path / "a")
    rename_checkpoint(source, tmp_path / "b", {"model": "net"})
    assert os.path.samefile(tmp_path / "a.data-00000-of-00001", tmp_path / "b.data-00000-of-00002")
    assert sorted(os.listdir(tmp_path)) == [
        *("a.data-00000-of-00001", "a.index"),
        *("b.data-00000-of-00002", "b.data-00001-of-00002", "b.index"),
    ]
    # Nothing depends on the source any more.
    for name in ("a.data-00000-of-00001", "a.index"):
        (tmp_path / name).unlink()
    assert "net/tied/bias/.ATTRIBUTES/VARIABLE_VALUE" in values(tmp_path / "b")


def test_a_copy_tells_how_far_it_is_and_can_be_stopped(tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    source = cp.Checkpoint(v=cp.Variable(np.zeros(1_500_000))).write(tmp_path / "a")
    data = tmp_path / "a.data-00000-of-00001"
    size = data.stat().st_size
    told = []
    rename_checkpoint(source, tmp_path / "b", {"v": "w"}, progress=lambda *far: told.append(far))
    assert told[-1] == (size, size, str(data))
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert len(told) > 2
    before = sorted(os.listdir(tmp_path))

    def stop(done, total, _):
        raise InterruptedError(f"{done} of {total}")

    with pytest.raises(InterruptedError):
        rename_checkpoint(source, tmp_path / "c", {"v": "w"}, progress=stop)
    assert sorted(os.listdir(tmp_path)) == before


def test_saving_the_source_again_does_not_touch_the_target(tmp_path):
    source = write(program(), tmp_path / "a")
    rename_checkpoint(source, tmp_path / "b", {"model": "net"})
    before = values(tmp_path / "b")
    other = program()
    other.model.tied.bias.assign(99)
    for _ in range(3):
        write(other, tmp_path / "a")
        after = values(tmp_path / "b")
        assert all(np.array_equal(after[key], value) for key, value in before.items())


def test_no_byte_can_change_unseen(tmp_path):
    source = write(Part(a=cp.Variable(np.arange(5))), tmp_path / "a")
    rename_checkpoint(source, tmp_path / "b", {"a": "b"})
    assert_every_change_is_found(copied(tmp_path / "b", tmp_path / "own"), "ck")


def test_there_and_back_again(tmp_path):
    source = write(program(), tmp_path / "0")
    first = values(source)
    for i in range(4):
        renames = {"model": "net"} if i % 2 == 0 else {"net": "model"}
        rename_checkpoint(tmp_path / f"{i}", tmp_path / f"{i + 1}", renames)
    assert set(values(tmp_path / "4")) == set(first)
    with BundleReader(source) as old, BundleReader(tmp_path / "4") as new:
        assert read_graph(old) == read_graph(new)
        assert new.header.num_shards == 2  # the graphs in between are gone


def test_no_renames_at_all(tmp_path):
    source = write(program(), tmp_path / "a")
    rename_checkpoint(source, tmp_path / "b", {})
    assert set(values(tmp_path / "b")) == set(values(source))
    assert (tmp_path / "a.index").read_bytes() == (tmp_path / "b.index").read_bytes()


@pytest.mark.parametrize(
    ("renames", "message"),
    [({"nothing": "x"}, "matches nothing"), ({"model": "optimizer"}, "taken by another object")],
)
def test_a_rename_that_cannot_be_writes_nothing(tmp_path, renames, message):
    source = write(program(), tmp_path / "a")
    with pytest.raises(ValueError, match=message):
        rename_checkpoint(source, tmp_path / "d" / "b", renames)
    assert not (tmp_path / "d").exists()


def test_targets_that_are_refused(tmp_path):
    source = write(program(), tmp_path / "a")
    write(program(), tmp_path / "b")
    with pytest.raises(cp.CheckpointIOError, match="exists already") as caught:
        rename_checkpoint(source, tmp_path / "b", {"model": "net"})
    assert caught.value.errno == errno.EEXIST
    with pytest.raises(ValueError, match="over itself"):
        rename_checkpoint(source, source, {"model": "net"}, overwrite=True)
    with pytest.raises(ValueError, match="names a directory"):
        rename_checkpoint(source, f"{tmp_path}/", {"model": "net"})
    rename_checkpoint(source, tmp_path / "b", {"model": "net"}, overwrite=True)
    assert any(key.startswith("net/") for key in values(tmp_path / "b"))


# -- what other writers made ------------------------------------------------------------------


def add_unknown(message, number):
    """A field that no version of ours knows."""
    message.MergeFromString(bytes([number << 3 | 2, 3]) + b"new")


def test_unknown_fields_of_the_graph_survive(tmp_path):
    graph = ObjectGraph([Node([Child(1, "a"), Child(2, "b")]), Node([Child(0, "up")]), Node()])
    graph.nodes[2].attributes = [Attribute(VARIABLE_VALUE, "name", "b/.ATTRIBUTES/VARIABLE_VALUE")]
    message = graph_message_class().FromString(encode_graph(graph))
    add_unknown(message, 9)
    for part in (message.nodes[1], message.nodes[0].children[0], message.nodes[0].children[1]):
        add_unknown(part, 10)
    add_unknown(message.nodes[2].attributes[0], 11)
    encoded = message.SerializeToString()
    values_to_write = [
        ValueToWrite("b/.ATTRIBUTES/VARIABLE_VALUE", DataType.DT_INT64, (), lambda: np.array(7)),
        ValueToWrite(GRAPH_KEY, DataType.DT_STRING, (), lambda: as_string_array(encoded)),
    ]
    write_bundle(tmp_path / "a", values_to_write, durability="flush")
    rename_checkpoint(tmp_path / "a", tmp_path / "b", {"b": "x/c"}, durability="flush")
    with BundleReader(tmp_path / "b") as reader:
        stored = read_graph(reader)
        assert reader.get_tensor("x/c/.ATTRIBUTES/VARIABLE_VALUE") == 7
    assert stored.count(b"\x03new") == encoded.count(b"\x03new") == 5
    again = graph_message_class().FromString(stored)
    (moved,) = again.nodes[3].children
    assert (moved.node_id, moved.local_name) == (2, "c")
    assert b"\x52\x03new" in moved.SerializeToString()
    assert again.nodes[2].attributes[0].full_name == "name"


def test_keys_that_are_not_their_objects_paths_stay(tmp_path):
    graph = ObjectGraph([Node([Child(1, "a")]), Node()])
    graph.nodes[1].attributes = [Attribute(VARIABLE_VALUE, "", "elsewhere")]
    encoded = encode_graph(graph)
    values_to_write = [
        ValueToWrite("elsewhere", DataType.DT_INT64, (), lambda: np.array(7)),
        ValueToWrite("of/no/object", DataType.DT_INT64, (), lambda: np.array(8)),
        ValueToWrite(GRAPH_KEY, DataType.DT_STRING, (), lambda: as_string_array(encoded)),
    ]
    write_bundle(tmp_path / "a", values_to_write, durability="flush")
    target = rename_checkpoint(tmp_path / "a", tmp_path / "b", {"a": "b"}, durability="flush")
    assert set(values(target)) == {"elsewhere", "of/no/object"}
    root = Part(b=cp.Variable(np.array(0)))
    cp.CheckpointableSaver(root).restore(target).assert_existing_objects_matched()
    assert int(root.b) == 7


# -- name-based ------------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path):
    stored = {"conv1/w": 1, "conv1/w/Adam": 2, "conv10/w": 3, "conv2/w": 4, "step": 5}
    values_to_write = [
        ValueToWrite(name, DataType.DT_INT64, (), lambda value=value: np.array(value))
        for name, value in stored.items()
    ]
    write_bundle(tmp_path / "named", values_to_write, durability="flush")
    return tmp_path / "named"


@pytest.mark.parametrize(
    ("renames", "expected"),
    [
        ({"conv1": "c/1"}, ["c/1/w", "c/1/w/Adam", "conv10/w", "conv2/w", "step"]),
        ({"conv1": "conv2", "conv2": "conv1"}, None),
        ({"conv*": "c*"}, ["c1/w", "c1/w/Adam", "c10/w", "c2/w", "step"]),
        ({"conv*/w": "*"}, ["1", "1/Adam", "10", "2", "step"]),
        ({"conv*": "c*", "conv10": "d"}, ["c1/w", "c1/w/Adam", "c2/w", "d/w", "step"]),
        ({"conv1": "x", "conv1/w/Adam": "y"}, ["conv10/w", "conv2/w", "step", "x/w", "y"]),
        ({"conv1": "conv2/inner", "/step/": "conv2/step"}, None),
        ({"step": "a.b"}, ["a.b", "conv1/w", "conv1/w/Adam", "conv10/w", "conv2/w"]),
    ],
)
def test_names(named, tmp_path, renames, expected):
    before = values(named)
    after = values(rename_checkpoint(named, tmp_path / "b", renames))
    assert sorted(int(value) for value in after.values()) == [1, 2, 3, 4, 5]
    if expected is not None:
        assert list(after) == expected
    if renames == {"conv1": "conv2", "conv2": "conv1"}:
        assert int(after["conv2/w/Adam"]) == 2
        assert after["conv1/w"] == before["conv2/w"]
    assert os.path.samefile(
        tmp_path / "named.data-00000-of-00001", tmp_path / "b.data-00000-of-00001"
    )


@pytest.mark.parametrize(
    ("renames", "message"),
    [
        ({"conv": "x"}, "'conv' matches nothing in the checkpoint; similar ones: conv"),
        ({"conv1": "conv2"}, "'conv1/w' and 'conv2/w' would both be 'conv2/w'"),
        ({"conv*": "c"}, "would both be 'c/w'"),
        ({"conv1": "*"}, r"more '\*'"),
        ({"conv1": "/"}, "empty"),
        ({"conv1//w": "x"}, "empty segment"),
    ],
)
def test_names_that_cannot_be(named, tmp_path, renames, message):
    with pytest.raises(ValueError, match=message):
        rename_checkpoint(named, tmp_path / "b", renames)


# -- TensorFlow ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tf():
    import tensorflow as tf

    return tf


def trackable(tf, **parts):
    made = tf.Module()
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def keras_like(tf, kind, fill):
    layers = [
        trackable(tf, kernel=tf.Variable([fill + i, fill + i]), bias=tf.Variable(fill))
        for i in (1.0, 2.0)
    ]
    net = trackable(tf, **{kind: layers}, tied=layers[0])
    return tf.train.Checkpoint(model=net, step=tf.Variable(int(fill)))


@pytest.mark.parametrize("writer", ["ours", "tensorflow"])
def test_tensorflow_restores_what_was_renamed(tf, tmp_path, writer):
    if writer == "tensorflow":
        source = keras_like(tf, "blocks", 3.0).write(str(tmp_path / "a"))
    else:
        layers = [
            Part(kernel=cp.Variable(np.full(2, 3 + i, np.float32)), bias=cp.Variable(np.float32(3)))
            for i in (1, 2)
        ]
        model = Part(blocks=layers, tied=layers[0])
        root = Part(model=model, step=cp.Variable(np.int32(3)))
        source = cp.CheckpointableSaver(root).save(tmp_path / "a")
    target = rename_checkpoint(
        source, tmp_path / "b", {"model/blocks": "model/layers", "model/tied": "model/tied"}
    )
    fresh = keras_like(tf, "layers", 0.0)
    fresh.read(target).assert_consumed()
    assert fresh.model.layers[1].kernel.numpy().tolist() == [5.0, 5.0]
    assert fresh.model.tied.bias.numpy() == 3.0
    assert int(fresh.step) == 3
    ours = Part(
        model=Part(layers=[Part(kernel=cp.Variable(np.zeros(2, np.float32)))] * 2),
        step=cp.Variable(np.int32(0)),
    )
    cp.CheckpointableSaver(ours).restore(target).expect_partial()
    assert int(ours.step) == 3


def test_tensorflow_restores_slots_that_moved(tf, tmp_path):
    """With TensorFlow's own optimizers that have slots, the old ones of tf.compat.v1."""

    def checkpoint(name, fill):
        variable = tf.Variable([fill, fill])
        optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
        optimizer.apply_gradients([(tf.constant([1.0, 2.0]), variable)])
        return tf.train.Checkpoint(**{name: variable}, optimizer=optimizer), variable, optimizer

    saved, variable, optimizer = checkpoint("kernel", 5.0)
    expected = optimizer.get_slot(variable, "momentum").numpy()
    target = rename_checkpoint(
        saved.write(str(tmp_path / "a")), tmp_path / "b", {"kernel": "weights"}
    )
    assert "weights/.OPTIMIZER_SLOT/optimizer/momentum/.ATTRIBUTES/VARIABLE_VALUE" in values(target)
    fresh, own, optimizer = checkpoint("weights", 0.0)
    optimizer.get_slot(own, "momentum").assign([0.0, 0.0])
    fresh.read(target).assert_consumed()
    assert own.numpy().tolist() == variable.numpy().tolist()
    assert optimizer.get_slot(own, "momentum").numpy().tolist() == expected.tolist()


def test_tensorflow_reads_names_that_were_renamed(tf, named, tmp_path):
    target = rename_checkpoint(named, tmp_path / "b", {"conv1": "first"})
    reader = tf.train.load_checkpoint(target)
    assert reader.get_tensor("first/w/Adam") == 2
    assert not reader.has_tensor("conv1/w")
