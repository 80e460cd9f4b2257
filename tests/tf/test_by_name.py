"""Files of `tf.compat.v1.train.Saver`, and ours that it reads (S38, S40)."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from checkpointable.bundle import DataType, ValueToWrite, write_bundle
from checkpointable.errors import CheckpointMismatchError
from tests.tf.files import assert_same_contents
from tests.tf.programs import graph_and_session, v1


class Net(tf.Module):
    def __init__(self, parts=None, *, resource=True):
        super().__init__()
        partitioner = v1.fixed_size_partitioner(parts) if parts else None
        with v1.variable_scope("net", use_resource=resource, partitioner=partitioner):
            initializer = v1.random_normal_initializer()
            self.given = [
                v1.get_variable("x", (5, 3), initializer=initializer),
                v1.get_variable("y", (7,), initializer=initializer),
            ]
        # A partitioned variable is nothing that TensorFlow tracks; its parts are.
        self.variables_ = [list(v) if parts else v for v in self.given]

    def values(self, session):
        return [v.tolist() for v in session.run([tf.convert_to_tensor(v) for v in self.given])]


@pytest.fixture(params=["V2", "V1", "partitioned", "ours", "ours partitioned"])
def written(request, tmp_path):
    """A file by names, and its values."""
    with graph_and_session() as (_, session):
        net = Net(3 if "partitioned" in request.param else None)
        step = v1.train.get_or_create_global_step()
        session.run(v1.global_variables_initializer())
        session.run(step.assign(12))
        if "ours" in request.param:
            path = cp.Saver([*net.given, step]).save(f"{tmp_path}/model", step, session)
        else:
            version = v1.train.SaverDef.V1 if request.param == "V1" else v1.train.SaverDef.V2
            saver = v1.train.Saver(write_version=version, sharded=request.param == "partitioned")
            path = saver.save(session, f"{tmp_path}/model", global_step=step)
        return path, net.values(session)


@pytest.mark.parametrize("parts", [None, 2, 3])
@pytest.mark.parametrize("resource", [True, False])
def test_it_restores_into_a_graph(written, parts, resource):
    path, expected = written
    with graph_and_session() as (_, session):
        net = Net(parts, resource=resource)
        session.run(v1.global_variables_initializer())
        before = net.values(session)
        status = cp.Checkpoint(net=net).restore(path)
        with pytest.raises(AssertionError, match="nothing was restored yet"):
            status.assert_consumed()
        assert net.values(session) == before
        status.run_restore_ops(session)
        assert net.values(session) == expected
        status.assert_consumed()
    with graph_and_session() as (_, session):
        net = Net(parts, resource=resource)
        cp.Saver(net.given).restore(path, session)
        assert net.values(session) == expected


def test_it_restores_eagerly_and_is_encoded_anew(written, tmp_path):
    path, expected = written
    net = tf.Module()
    net.x, net.y = (
        tf.Variable(np.zeros((5, 3), np.float32), name="net/x"),
        tf.Variable(np.zeros(7, np.float32), name="net/y"),
    )
    net.other = tf.Variable(7, name="other")
    checkpoint = cp.Checkpoint(net=net)
    status = checkpoint.restore(path)
    assert not net.x.numpy().any()
    status.initialize_or_restore()
    assert [net.x.numpy().tolist(), net.y.numpy().tolist()] == expected
    with pytest.raises(AssertionError, match=r"net/other .name 'other'"):
        status.assert_consumed()
    again = checkpoint.save(f"{tmp_path}/objects")
    net.x.assign(net.x * 0)
    tf.train.Checkpoint(net=net).restore(again).assert_consumed()
    assert net.x.numpy().tolist() == expected[0]


@pytest.mark.parametrize("parts", [None, 2, 4])
def test_tensorflow_s_saver_reads_what_ours_writes(tmp_path, parts):  # S40
    with graph_and_session() as (_, session):
        net = Net(parts)
        session.run(v1.global_variables_initializer())
        expected = net.values(session)
        ours = cp.Saver(net.given).save(f"{tmp_path}/ours", 3, session)
        theirs = v1.train.Saver().save(session, f"{tmp_path}/theirs")
        assert_same_contents(theirs, ours)
        for path in ours, theirs:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().restore(session, path)
            assert net.values(session) == expected
    for other in (None, 3):
        with graph_and_session() as (_, session):
            net = Net(other)
            v1.train.Saver().restore(session, ours)
            assert net.values(session) == expected


def test_eager_variables(tmp_path):  # S40
    x, y = tf.Variable([1.0, 2.0], name="x"), tf.Variable(b"text", name="y")
    ours = cp.Saver([x, y]).save(f"{tmp_path}/ours")
    theirs = v1.train.Saver([x, y]).save(None, f"{tmp_path}/theirs")
    assert_same_contents(theirs, ours)
    x.assign([0.0, 0.0])
    cp.Saver({"x": x}).restore(theirs)
    assert x.numpy().tolist() == [1.0, 2.0]


def test_a_table_by_name(tmp_path):
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(["a"], [1])
    path = cp.Saver({"table": table}).save(f"{tmp_path}/ckpt")
    assert cp.list_variables(path) == [("table-keys", (1,)), ("table-values", (1,))]
    table.insert(["b"], [2])
    cp.Saver({"table": table}).restore(path)
    assert table.lookup(tf.constant(["a", "b"])).numpy().tolist() == [1, -1]


def test_a_part_of_another_shape_does_not_fit(tmp_path):  # S25
    with graph_and_session() as (_, session):
        other = v1.get_variable("net/x", initializer=np.zeros((6, 3), np.float32))
        session.run(other.initializer)
        path = cp.Saver([other]).save(f"{tmp_path}/ckpt", session=session)
    with graph_and_session() as (_, session):
        net = Net(2)
        session.run(v1.global_variables_initializer())
        with pytest.raises(CheckpointMismatchError, match=r"net/x: shape \(6, 3\)"):
            cp.Saver(net.given[:1]).restore(path, session)


@pytest.mark.parametrize("extents", [[(0, 2), (3, 1)], [(0, 2), (1, 2)], [(0, 3), (3, 1), (3, 1)]])
def test_parts_that_do_not_make_up_the_whole_are_refused(tmp_path, extents):
    parts = tuple(
        (
            ((start, size),),
            ValueToWrite("k", DataType.DT_FLOAT, (size,), lambda n=size: np.ones(n, "f4")),
        )
        for start, size in extents
    )
    whole = ValueToWrite("k", DataType.DT_FLOAT, (4,), parts[0][1].read, parts)
    with pytest.raises(CheckpointMismatchError, match="do not cover the shape"):
        write_bundle(tmp_path / "ckpt", [whole])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["float32", "int8", "bfloat16", "complex128"])
def test_tensorflow_reads_slices_across_parts(tmp_path, dtype):
    whole = np.arange(60).reshape(10, 6).astype(tf.as_dtype(dtype).as_numpy_dtype)
    parts = []
    for row, rows in ((0, 4), (4, 1), (5, 5)):
        for column, columns in ((0, 2), (2, 4)):
            own = whole[row : row + rows, column : column + columns]
            kind = DataType(int(tf.as_dtype(dtype).as_datatype_enum))
            value_to_write = ValueToWrite("k", kind, own.shape, lambda own=own: own)
            parts.append((((row, rows), (column, columns)), value_to_write))
    other = ValueToWrite("a", DataType.DT_FLOAT, (2,), lambda: np.ones(2, np.float32))
    write_bundle(
        tmp_path / "ckpt",
        [other, ValueToWrite("k", kind, whole.shape, lambda: whole, tuple(parts))],
    )
    for spec, expected in (("", whole), ("10 6 3,4:1,3", whole[3:7, 1:4])):
        (found,) = tf.raw_ops.RestoreV2(
            prefix=f"{tmp_path}/ckpt", tensor_names=["k"], shape_and_slices=[spec], dtypes=[dtype]
        )
        np.testing.assert_array_equal(found.numpy(), expected)
    assert (cp.load_checkpoint(tmp_path / "ckpt").get_tensor("k") == whole).all()
