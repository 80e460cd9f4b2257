"""The adapters of TensorFlow's objects: what is found by name is what is listed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from tests.adapters import assert_all_agree
from tests.tf.programs import graph_and_session, trained
from tests.tf.test_random_models import LAYERS, OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_keras(name):
    model = keras.Sequential([keras.layers.Input((5, 4)), *(make() for make in LAYERS.values())])
    model.compile(OPTIMIZERS[name](), "mse")
    checkpoint = cp.Checkpoint(model=model, optimizer=model.optimizer)
    assert_all_agree(checkpoint)
    x = np.ones((2, 5, 4), "float32")
    model.fit(x, np.zeros(model(x).shape, "float32"), verbose=0)
    assert_all_agree(checkpoint)


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.v = tf.Variable(1.0)
        self.items = [tf.Variable(2.0), {"a": tf.Variable(["x"])}, (tf.Variable(3),)]
        self.ours = cp.Variable(4)


def test_eager_objects():
    table = tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, -1, -1, -2)
    assert_all_agree(
        cp.Checkpoint(
            module=Module(),
            table=table,
            iterator=iter(tf.data.Dataset.range(3)),
            generator=tf.random.Generator.from_seed(1),
            nested=tf.train.Checkpoint(v=tf.Variable(1), module=Module()),
        )
    )


@pytest.mark.parametrize("resource", [True, False])
def test_graph_mode(resource):
    with graph_and_session() as (_, session):
        net, optimizer = trained(session, resource=resource)
        assert_all_agree(cp.Checkpoint(net=net, optimizer=optimizer))
