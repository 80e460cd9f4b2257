"""The programs that docs/tensorflow.md compares continue each other's directories.

The page itself is run by tests/test_docs.py.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from tests.tf.programs import Net, graph_and_session, v1

# As r1.11 had it; `tf.contrib.eager.CheckpointableSaver` and `tf.Session` are replaced below.
OLD = """
saver = tf.contrib.eager.CheckpointableSaver(root)
with tf.Session() as session:
    saver.restore(path).assert_consumed().run_restore_ops(session)
    saver.save("runs/a/ckpt", checkpoint_number=step, session=session)
"""
IN_A_GRAPH = """
saver = cp.CheckpointableSaver(root)
saver.restore(path).assert_consumed().run_restore_ops(session)
saver.save("runs/a/ckpt", checkpoint_number=step, session=session)
"""
NEW = """
checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
checkpoint.restore(tf.train.latest_checkpoint("runs/a")).assert_consumed()
checkpoint.save("runs/a/ckpt")
"""
EAGER = NEW.replace("tf.train", "cp")


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trained():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.Adam(0.1)
    model.compile(optimizer, "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    return model, optimizer


@pytest.mark.parametrize("program", [OLD, IN_A_GRAPH])
def test_the_program_of_tensorflow_1(program):
    with graph_and_session() as (_, session):
        root = Net(1.0)
        session.run(v1.global_variables_initializer())
        session.run(root.x.assign([5.0, 6.0]))
        path = cp.CheckpointableSaver(root).save("runs/before", session=session)
    with tf.Graph().as_default():
        root = Net(2.0)
        eager = SimpleNamespace(CheckpointableSaver=cp.CheckpointableSaver)
        old = SimpleNamespace(contrib=SimpleNamespace(eager=eager), Session=v1.Session)
        with v1.Session() as session:
            names = {"root": root, "path": path, "session": session, "step": 41}
            exec(program, {"tf": old, "cp": cp, **names})
    assert cp.latest_checkpoint("runs/a") == "runs/a/ckpt-41"
    module = tf.Module()
    module.x = tf.Variable([0.0, 0.0])
    cp.CheckpointableSaver(module).restore("runs/a/ckpt-41").expect_partial()
    assert module.x.numpy().tolist() == [5.0, 6.0]


@pytest.mark.parametrize("program", [NEW, EAGER])
@pytest.mark.parametrize("before", [tf.train.Checkpoint, cp.Checkpoint])
def test_the_program_of_tensorflow_2(program, before):
    model, optimizer = trained()
    before(model=model, optimizer=optimizer).save("runs/a/ckpt")
    expected = [v.numpy() for v in (*model.weights, *optimizer.variables)]
    model, optimizer = trained()
    exec(program, {"tf": tf, "cp": cp, "model": model, "optimizer": optimizer})
    for one, other in zip(expected, (*model.weights, *optimizer.variables), strict=True):
        np.testing.assert_array_equal(one, other.numpy())
    assert cp.latest_checkpoint("runs/a") == "runs/a/ckpt-2"


def test_a_file_by_name():
    with graph_and_session() as (_, session):
        net = Net(1.0)
        session.run(v1.global_variables_initializer())
        session.run(net.x.assign([5.0, 6.0]))
        Path("old").mkdir()
        v1.train.Saver().save(session, "old/model.ckpt", global_step=1000)
    with graph_and_session() as (_, session):
        net = Net(2.0)
        checkpoint = cp.Checkpoint(net=net)
        checkpoint.restore("old/model.ckpt-1000").run_restore_ops(session)
        checkpoint.save("new/ckpt", session=session)
        assert session.run(net.x).tolist() == [5.0, 6.0]
    module = tf.Module()
    module.x = tf.Variable([0.0, 0.0])
    cp.Checkpoint(net=module).restore("new/ckpt-1").expect_partial()
    assert module.x.numpy().tolist() == [5.0, 6.0]
