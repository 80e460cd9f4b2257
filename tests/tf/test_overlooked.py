"""State that TensorFlow's objects hold and do not show: said at a save, once."""

from __future__ import annotations

import collections

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.trackable.data_structures import NoDependency

import checkpointable as cp


def said(caplog):
    records = [record for record in caplog.records if record.name == "checkpointable"]
    found = [record.getMessage() for record in records]
    caplog.clear()
    return found


class Blocks(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [keras.layers.Dense(2), [keras.layers.BatchNormalization()]]
        self.by_name = {"a": keras.layers.Dense(1)}
        self.pair = (keras.layers.Dense(1), 3)
        self.sizes = [1, 2]

    def call(self, x):
        x = self.blocks[1][0](self.blocks[0](x))
        return self.by_name["a"](x) + self.pair[0](x)


def test_what_keras_keeps_in_lists_and_dicts(tmp_path, caplog):
    """`tf.train.Checkpoint` leaves it out, so we do: the files are the same."""
    model = Blocks()
    checkpoint = cp.Checkpoint(model=model)
    checkpoint.save(f"{tmp_path}/ckpt")
    assert not said(caplog)  # nothing is there yet
    model(np.ones((1, 2)))
    path = checkpoint.save(f"{tmp_path}/ckpt")
    blocks, by_name = said(caplog)
    assert blocks.startswith(
        "model/blocks is not saved: it is a TrackedList, which Keras does not show to TensorFlow, "
        "and holds a Dense; assign that to an attribute"
    )
    assert by_name.startswith("model/by_name is not saved: it is a TrackedDict")
    theirs = tf.train.Checkpoint(model=model).write(f"{tmp_path}/theirs")
    keys = {key for key, _ in cp.list_variables(path) if not key.startswith("save_counter")}
    assert keys == {key for key, _ in cp.list_variables(theirs)}
    checkpoint.save(f"{tmp_path}/ckpt")
    assert not said(caplog)


def test_what_an_optimizer_has_too_is_saved_by_it(tmp_path, caplog):
    model = Blocks()
    model.compile("adam", "mse")
    model.fit(np.ones((4, 2)), np.zeros((4, 1)), verbose=0)
    cp.Checkpoint(model=model).save(f"{tmp_path}/ckpt")
    (blocks,) = said(caplog)  # moving averages are no variable of the optimizer's
    assert "model/blocks" in blocks
    assert "BatchNormalization" in blocks


class Linear:
    """Of another framework."""

    def state_dict(self):
        return {"weight": 1.0}

    def load_state_dict(self, state):
        pass


def test_what_modules_do_not_track(tmp_path, caplog):
    module = tf.Module()
    module.queue = collections.deque([tf.Variable(1.0)])
    module.linear = Linear()
    module.numbers = collections.deque([1, 2])
    shared = tf.Variable(2.0)
    module.shared = shared
    module.again = collections.deque([shared])
    module.meant = NoDependency([tf.Variable(3.0)])
    cp.Checkpoint(module=module).save(f"{tmp_path}/ckpt")
    queue, linear = said(caplog)
    assert queue.startswith(
        "module/queue is not saved: it is a deque, which is not tracked, and holds a "
    )
    assert linear.startswith(
        "module/linear is not saved: it is a Linear, and TensorFlow tracks only TensorFlow objects"
    )
    cp.Checkpoint(module=module, linear=module.linear).save(f"{tmp_path}/ckpt")
    assert not said(caplog)


class Unsavable(cp.NotCheckpointable):
    pass


def test_what_cannot_be_saved_is_in_nobodys_way_where_it_is_left_out(tmp_path, caplog):
    module = tf.Module()
    module.queue = collections.deque([cp.Checkpoint(inner=Unsavable())])
    cp.Checkpoint(module=module).save(f"{tmp_path}/ckpt")
    (queue,) = said(caplog)
    assert queue.startswith("module/queue is not saved: it is a deque")
