"""Random Keras models and optimizers, either library restoring what the other saved."""

from __future__ import annotations

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.common.logs import logger
from tests.tf.files import assert_same_files

LAYERS = {
    "dense": lambda: keras.layers.Dense(4),
    "norm": keras.layers.BatchNormalization,
    "conv": lambda: keras.layers.Conv1D(4, 2, padding="same"),
    "lstm": lambda: keras.layers.LSTM(4, return_sequences=True),
    "dropout": lambda: keras.layers.Dropout(0.3, seed=1),
    "bidirectional": lambda: keras.layers.Bidirectional(keras.layers.GRU(2, return_sequences=True)),
}
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
}

stacks = st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=3)
models = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["sequential", "functional", "subclassed"]),
        "nested": st.sampled_from(["sequential", "functional", "subclassed"]),
        "stacks": st.lists(stacks, min_size=1, max_size=2),
        "shared": st.booleans(),
        "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
    }
)


class Inner(keras.Model):
    """A nested model that is no Sequential."""

    def __init__(self, layers):
        super().__init__()
        self.first, *others = layers
        for index, layer in enumerate(others):
            setattr(self, f"other_{index}", layer)
        self.others = len(others)

    def call(self, x):
        x = self.first(x)
        for index in range(self.others):
            x = getattr(self, f"other_{index}")(x)
        return x


def nested(kind, layers):
    """These layers as one model; each takes and gives (any, 3, 4)."""
    if kind == "functional":
        given = x = keras.Input((3, 4))
        for layer in layers:
            x = layer(x)
        return keras.Model(given, x)
    return keras.Sequential(layers) if kind == "sequential" else Inner(layers)


class Subclassed(keras.Model):
    def __init__(self, embedding, parts, shared):
        super().__init__()
        self.embedding = embedding
        # Not a list: Keras does not show TensorFlow what is in one.
        self.count = len(parts)
        for index, part in enumerate(parts):
            setattr(self, f"part_{index}", part)
        self.shared = shared
        self.head = keras.layers.Dense(1)

    def call(self, x):
        x = self.embedding(x)
        for index in range(self.count):
            x = self.shared(getattr(self, f"part_{index}")(x))
        return self.head(x)


def build(plan, seed):
    keras.utils.set_random_seed(seed)
    embedding = keras.layers.Embedding(5, 4)
    parts = [nested(plan["nested"], [LAYERS[name]() for name in stack]) for stack in plan["stacks"]]
    shared = keras.layers.Dense(4) if plan["shared"] else keras.layers.Activation("relu")
    if plan["kind"] == "subclassed":
        model = Subclassed(embedding, parts, shared)
    elif plan["kind"] == "functional":
        given = keras.Input((3,), dtype="int32")
        x = embedding(given)
        for part in parts:
            x = shared(part(x))
        model = keras.Model(given, keras.layers.Dense(1)(x))
    else:
        layers = [layer for part in parts for layer in (part, keras.layers.Dense(4))]
        model = keras.Sequential([embedding, *layers, keras.layers.Dense(1)])
    model.compile(OPTIMIZERS[plan["optimizer"]](), "mse", run_eagerly=True)
    return model


def train(model, steps):
    x = np.arange(6).reshape(2, 3) % 5
    for _ in range(steps):
        model.train_on_batch(x, np.ones((2, 3, 1)))


def numbers(model):
    return [v.numpy() for v in [*model.weights, *model.optimizer.variables]]


@pytest.mark.timeout(600)
@settings(max_examples=6, phases=[Phase.explicit, Phase.generate])  # a smaller one is slow too
@given(models)
def test_each_restores_what_the_other_saved(tmp_path_factory, plan):
    directory = tmp_path_factory.mktemp("models")
    model = build(plan, 1)
    train(model, 2)
    expected = numbers(model)
    with mock.patch.object(logger, "warning") as warning:
        ours = cp.Checkpoint(model=model).save(f"{directory}/ours")
    assert not warning.called  # nothing of a model is overlooked
    theirs = tf.train.Checkpoint(model=model).save(f"{directory}/theirs")
    assert_same_files(theirs, ours)
    for restore in (
        lambda model: cp.Checkpoint(model=model).restore(theirs).assert_consumed(),
        lambda model: tf.train.Checkpoint(model=model).restore(ours).assert_consumed(),
    ):
        again = build(plan, 2)
        train(again, 1)
        restore(again)
        for one, other in zip(expected, numbers(again), strict=True):
            np.testing.assert_array_equal(one, other)
    # And into a model that has not been built yet.
    later = build(plan, 3)
    status = cp.Checkpoint(model=later).restore(theirs)
    later(np.zeros((1, 3), np.int32))
    for one, other in zip(model.weights, later.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    status.expect_partial()
    keras.backend.clear_session()
