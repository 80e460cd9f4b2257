"""The programs of docs/tensorflow.md run: the old one too, on ours under its old name."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from tests.tf.programs import Net, graph_and_session, v1

PAGE = Path(__file__).parents[2] / "docs" / "tensorflow.md"
OLD, NEW, OURS, BY_NAME = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
EAGER, IN_A_GRAPH = OURS.split("\n\n")


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
        exec(BY_NAME, {"checkpoint": cp.Checkpoint(net=net), "session": session})
        assert session.run(net.x).tolist() == [5.0, 6.0]
    module = tf.Module()
    module.x = tf.Variable([0.0, 0.0])
    cp.Checkpoint(net=module).restore("new/ckpt-1").expect_partial()
    assert module.x.numpy().tolist() == [5.0, 6.0]
