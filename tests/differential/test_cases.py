"""Cases too particular for random programs: other roots, Checkpoint, the state file, dtypes."""

from __future__ import annotations

import os
from collections import OrderedDict, namedtuple

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.trackable.autotrackable import AutoTrackable
from tensorflow.python.trackable.data_structures import ListWrapper, _DictWrapper

import checkpointable as cp
from tests.differential.compare import (
    assert_same_checkpoint,
    graph_bytes,
    normal,
    values_by_tensorflow,
    values_by_us,
)
from tests.differential.programs import make_contents
from tests.differential.sides import Ours, State, TensorFlow, TensorFlowState

OURS, THEIRS = Ours(), TensorFlow()


def optimizer(side):
    made = side.make("optimizer", None)
    made.rate = side.make("variable", np.float32(0.5))
    side.add_slot(made, made.rate, "m", np.float32(2.5))
    side.add_slot(made, made, "whole", np.float32(3.5))
    return made


ROOTS = {
    "variable": (lambda: cp.Variable([1.5, 2.5]), lambda: tf.Variable(np.array([1.5, 2.5]))),
    "state": (lambda: State(b"abc"), lambda: TensorFlowState(b"abc")),
    "optimizer": (lambda: optimizer(OURS), lambda: optimizer(THEIRS)),
    "list": (
        lambda: cp.List([cp.Variable(1), 7, [cp.Variable(2)]]),
        lambda: ListWrapper([tf.Variable(np.int64(1)), 7, [tf.Variable(np.int64(2))]]),
    ),
    "dict": (
        lambda: cp.Dict({"a/b": cp.Variable(1), "n": None, 3: "x"}),
        lambda: _DictWrapper({"a/b": tf.Variable(np.int64(1)), "n": None, 3: "x"}),
    ),
    "module without values": (cp.Checkpointable, AutoTrackable),
}


@pytest.mark.parametrize("root", ROOTS)
def test_any_object_can_be_the_root(tmp_path, root):
    # S9 S10: the root's own values have keys that begin with "/"
    ours, theirs = (make() for make in ROOTS[root])
    our_path = OURS.save(ours, str(tmp_path / "ours"))
    their_path = THEIRS.save(theirs, str(tmp_path / "theirs"))
    assert_same_checkpoint(our_path, their_path)
    OURS.restore(ours, their_path).assert_consumed()
    THEIRS.restore(theirs, our_path).assert_consumed()


Point = namedtuple("Point", ["x", "y"])


def nested(side):
    make = side.make
    root = make("module", None)
    shared = make("variable", np.float32(1))
    root.points = Point(shared, [make("variable", np.float32(2)), (shared, {"deep": shared})])
    root.ordered = OrderedDict(z=make("variable", np.float32(3)), a=shared)
    root.plain = (1, "two", (3.0, None))
    root.left_out = side.no_dependency([shared])
    root.empty = [[], {}, ()]
    return root


def test_containers_are_named_as_by_tensorflow(tmp_path):
    # S3: items by number, by key, and those of a named tuple by field name and by number
    our_path = OURS.save(nested(OURS), str(tmp_path / "ours"))
    their_path = THEIRS.save(nested(THEIRS), str(tmp_path / "theirs"))
    assert_same_checkpoint(our_path, their_path)
    assert "points/y/0/.ATTRIBUTES/VARIABLE_VALUE" in dict(cp.list_variables(our_path))
    OURS.restore(nested(OURS), their_path).assert_consumed()
    THEIRS.restore(nested(THEIRS), our_path).assert_consumed()


def test_a_name_that_tensorflow_cannot_restore(tmp_path):
    # S10: `.ATTRIBUTES` is saved under TensorFlow's key, and restored by us alone
    ours, theirs = cp.Checkpointable(), AutoTrackable()
    setattr(ours, ".ATTRIBUTES", cp.Variable(np.float32(3)))
    setattr(theirs, ".ATTRIBUTES", tf.Variable(np.float32(3)))
    our_path = OURS.save(ours, str(tmp_path / "ours"))
    their_path = THEIRS.save(theirs, str(tmp_path / "theirs"))
    assert_same_checkpoint(our_path, their_path)
    getattr(ours, ".ATTRIBUTES").assign(0)
    OURS.restore(ours, their_path).assert_consumed()
    assert float(getattr(ours, ".ATTRIBUTES")) == 3


# -- Checkpoint ------------------------------------------------------------------------------


def net(side):
    root = side.make("module", None)
    root.kernel = side.make("variable", np.arange(3, dtype=np.float32))
    root.layers = [side.make("variable", np.float32(1))]
    return root


def step(side):
    return side.make("variable", np.int64(7))


CHECKPOINTS = {
    "objects": lambda side, cls: cls(zebra=step(side), model=net(side), alpha=net(side)),
    "root": lambda side, cls: cls(net(side)),
    "root and objects": lambda side, cls: cls(root=net(side), step=step(side), also=net(side)),
    "nothing": lambda side, cls: cls(),
    "a list": lambda side, cls: cls(items=[step(side), {"k": net(side)}]),
}


def number_of_saves(checkpoint):
    return int(checkpoint.save_counter)


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("method", ["save", "write"])
def test_checkpoint_writes_what_tensorflow_writes(tmp_path, kind, method):
    # S15: the order of the objects, where the counter is, and when there is none
    make = CHECKPOINTS[kind]
    ours, theirs = make(OURS, cp.Checkpoint), make(THEIRS, tf.train.Checkpoint)
    for _ in range(2 if method == "save" else 1):
        our_path = getattr(ours, method)(str(tmp_path / "ours"))
        their_path = getattr(theirs, method)(str(tmp_path / "theirs"))
    assert os.path.basename(our_path).replace("ours", "theirs") == os.path.basename(their_path)
    assert_same_checkpoint(our_path, their_path)

    back = "restore" if method == "save" else "read"
    ours, theirs = make(OURS, cp.Checkpoint), make(THEIRS, tf.train.Checkpoint)
    getattr(ours, back)(their_path).assert_consumed()
    getattr(theirs, back)(our_path).assert_consumed()
    if method == "save":
        assert number_of_saves(ours) == number_of_saves(theirs) == 2
        assert ours.save(str(tmp_path / "more")).endswith("more-3")


def test_the_state_file_is_tensorflows(tmp_path):
    # S16: each finds the other's latest checkpoint, also after the directory was moved
    ours = cp.Checkpoint(model=net(OURS))
    first = ours.save(tmp_path / "a" / "ckpt")
    second = ours.save(tmp_path / "a" / "ckpt")
    assert tf.train.latest_checkpoint(str(tmp_path / "a")) == second
    state = tf.train.get_checkpoint_state(str(tmp_path / "a"))
    assert list(state.all_model_checkpoint_paths) == [second]
    (tmp_path / "a").rename(tmp_path / "b")
    assert tf.train.latest_checkpoint(str(tmp_path / "b")) == str(tmp_path / "b" / "ckpt-2")
    assert tf.train.load_checkpoint(str(tmp_path / "b")).has_tensor(
        "model/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    )
    assert first != second

    theirs = tf.train.Checkpoint(model=net(THEIRS))
    path = theirs.save(str(tmp_path / "c" / "ckpt"))
    assert cp.latest_checkpoint(tmp_path / "c") == path


def test_tensorflow_overwrites_and_reads_what_we_overwrote(tmp_path):
    # S18: the second file of a prefix lies under another number of shards
    ours = net(OURS)
    prefix = str(tmp_path / "ckpt")
    for value in (1.0, 2.0, 3.0):
        ours.kernel.assign(np.full(3, value, np.float32))
        assert OURS.save(ours, prefix) == prefix
        key = "kernel/.ATTRIBUTES/VARIABLE_VALUE"
        assert values_by_tensorflow(prefix)[key] == normal(ours.kernel.numpy())
        THEIRS.restore(net(THEIRS), prefix).assert_consumed()
    theirs = net(THEIRS)
    THEIRS.save(theirs, prefix)
    OURS.restore(ours, prefix).assert_consumed()
    assert ours.kernel.numpy().tolist() == [0, 1, 2]


# -- dtypes ----------------------------------------------------------------------------------

EVERY_DTYPE = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "string"),
    *("float8_e5m2", "float8_e4m3fn", "float8_e5m2fnuz", "float8_e4m3fnuz"),
    "float8_e4m3b11fnuz",
    *(n for n in ("int4", "uint4", "int2", "uint2", "float4_e2m1fn") if hasattr(ml_dtypes, n)),
]


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 0, 2), (2, 3, 4)])
def test_every_dtype_goes_both_ways(tmp_path, dtype, shape):
    # by the operations below TensorFlow's savers, which take dtypes that its variables do not
    contents = make_contents(dtype, shape, seed=len(shape))
    root = cp.Checkpointable()
    root.v = cp.Variable(contents)
    path = OURS.save(root, str(tmp_path / "ours"))
    key = "v/.ATTRIBUTES/VARIABLE_VALUE"
    (tensor,) = tf.raw_ops.RestoreV2(
        prefix=path, tensor_names=[key], shape_and_slices=[""], dtypes=[tf.as_dtype(dtype)]
    )
    assert normal(tensor.numpy()) == normal(contents)
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "theirs"),
        tensor_names=["v"],
        shape_and_slices=[""],
        tensors=[tensor],
    )
    found = values_by_us(str(tmp_path / "theirs"))
    assert found == {"v": normal(contents)}


def test_values_larger_than_any_chunk(tmp_path):
    ours, theirs = cp.Checkpointable(), AutoTrackable()
    big = np.random.default_rng(0).normal(size=(3, 1_000_003)).astype(np.float32)
    texts = np.array([b"x" * 100_000, b"", b"y" * 3_000_000], dtype=object)
    ours.big, ours.texts = cp.Variable(big), cp.Variable(texts)
    theirs.big, theirs.texts = tf.Variable(big), tf.Variable(texts)
    our_path = OURS.save(ours, str(tmp_path / "ours"))
    assert_same_checkpoint(our_path, THEIRS.save(theirs, str(tmp_path / "theirs")))
    assert len(graph_bytes(our_path)) < 200


def test_a_long_chain(tmp_path):
    def chain(side, length):
        root = node = side.make("module", None)
        for _ in range(length):
            node.next = side.make("module", None)
            node = node.next
        node.value = side.make("variable", np.float32(5))
        return root

    our_path = OURS.save(chain(OURS, 300), str(tmp_path / "ours"))
    their_path = THEIRS.save(chain(THEIRS, 300), str(tmp_path / "theirs"))
    assert_same_checkpoint(our_path, their_path)
    OURS.restore(chain(OURS, 300), their_path).assert_consumed()
    THEIRS.restore(chain(THEIRS, 300), our_path).assert_consumed()
