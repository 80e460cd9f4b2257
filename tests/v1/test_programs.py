"""V1 files as users have them: written by TensorFlow 1, restored by name, saved anew (S32, S38)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from checkpointable.bundle.v1.reader import V1Reader
from tests.v1.helpers import compare, same, shards, write_v1

tf1 = tf.compat.v1


def graph_mode(save, *, devices=1):
    """Runs `save(session, variables)` in a graph with some variables."""
    config = tf1.ConfigProto(device_count={"CPU": devices})
    with tf.Graph().as_default(), tf1.Session(config=config) as session:
        with tf.device("/cpu:0"):
            weights = tf1.get_variable(
                "net/w",
                (6, 4),
                initializer=tf1.random_uniform_initializer(seed=1),
                partitioner=tf1.fixed_size_partitioner(3),
                use_resource=False,
            )
        with tf.device(f"/cpu:{devices - 1}"):
            tf1.get_variable("net/b", initializer=tf.constant([1.0, 2.0]), use_resource=False)
        tf1.get_variable("step", initializer=tf.constant(7, tf.int64), use_resource=False)
        session.run(tf1.global_variables_initializer())
        return save(session), session.run(tf.concat(list(weights), 0))


V1 = tf1.train.SaverDef.V1


@pytest.mark.parametrize("sharded", [False, True])
def test_a_saver_of_tensorflow_1(sharded, tmp_path):  # S38
    def save(session):
        saver = tf1.train.Saver(write_version=V1, sharded=sharded)
        return saver.save(session, str(tmp_path / "model.ckpt"), global_step=3)

    path, weights = graph_mode(save, devices=2 if sharded else 1)
    assert cp.latest_checkpoint(tmp_path) == path == tf.train.latest_checkpoint(str(tmp_path))
    compare(path)
    with cp.load_checkpoint(tmp_path) as reader:  # the directory's latest
        same(reader.get_tensor("net/w"), weights)


def program():
    return cp.Checkpoint(
        w=cp.Variable(np.zeros((6, 4), np.float32), name="net/w"),
        b=cp.Variable(np.zeros(2, np.float32), name="net/b"),
        step=cp.Variable(0, name="step"),
    )


@pytest.fixture
def trained(tmp_path):
    """(path, weights) of a checkpoint of TensorFlow 1."""
    return graph_mode(
        lambda session: tf1.train.Saver(write_version=V1).save(session, str(tmp_path / "old"))
    )


def test_restoring_by_names_and_saving_anew(trained, tmp_path):  # S38
    path, weights = trained
    checkpoint = program()
    status = checkpoint.restore(path)
    assert isinstance(status, cp.NameBasedSaverStatus)
    assert int(checkpoint.step) == 0
    status.run_restore_ops()
    status.assert_consumed()
    same(checkpoint.w.numpy(), weights)
    assert int(checkpoint.step) == 7

    again = program()
    again.restore(checkpoint.save(tmp_path / "new")).assert_consumed()
    same(again.w.numpy(), weights)


def test_the_saver_restores_it(trained):  # S40
    path, weights = trained
    checkpoint = program()
    cp.Saver([checkpoint.w, checkpoint.b]).restore(path)
    same(checkpoint.w.numpy(), weights)
    assert checkpoint.b.numpy().tolist() == [1.0, 2.0]
    missing = cp.Variable(0.0, name="elsewhere")
    with pytest.raises(cp.CheckpointMismatchError, match="elsewhere"):
        cp.Saver([missing]).restore(path)


def test_another_shape_changes_nothing(trained):  # S25
    checkpoint = program()
    checkpoint.b = cp.Variable(np.zeros(3, np.float32), name="net/b")
    status = checkpoint.restore(trained[0])
    with pytest.raises(cp.CheckpointMismatchError, match=r"b: shape \(2,\) in the checkpoint"):
        status.run_restore_ops()
    assert not checkpoint.w.numpy().any()


def test_it_has_no_object_graph(trained):
    with pytest.raises(cp.CheckpointUnsupportedError, match="no object graph"):
        cp.object_metadata(trained[0])


def test_a_directory_without_a_state_file(tmp_path, caplog):  # S32
    (tmp_path / "notes.txt").write_text("no checkpoint, but longer than the footer of one is\n" * 9)
    assert cp.latest_checkpoint(tmp_path) is None
    path = write_v1(tmp_path / "model.ckpt-7", {"v": np.zeros(3)})
    (tmp_path / "damaged").write_bytes(b"x" + Path(path).read_bytes()[1:])
    assert cp.latest_checkpoint(tmp_path) == path
    assert "no state file" in caplog.text
    (tmp_path / "more").mkdir()
    shards(tmp_path / "more", np.zeros((6, 4)))
    assert cp.latest_checkpoint(tmp_path / "more") == str(tmp_path / "more" / "m-?????-of-00002")


def test_a_bundle_of_the_same_name_comes_first(tmp_path):
    path = write_v1(tmp_path / "m", {"old": np.zeros(3)})
    cp.Saver([cp.Variable(1.0, name="new")]).save(path)
    with cp.load_checkpoint(path) as reader:
        assert reader.keys() == ["new"]
        assert not isinstance(reader, V1Reader)
    assert [name for name, _ in tf.train.list_variables(path)] == ["new"]


def test_it_stays_readable_when_its_name_is_gone(tmp_path):  # S26
    path = write_v1(tmp_path / "m", {"v": np.arange(3)})
    reader = cp.load_checkpoint(path)
    Path(path).unlink()
    same(reader.get_tensor("v"), np.arange(3))
    reader.close()
    reader.close()
