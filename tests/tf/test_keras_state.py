"""Keras's metrics and seed generators, as dependencies of this library's objects (S1)."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import checkpointable as cp
from tests.tf.files import contents


class InLists(keras.metrics.Metric):
    """Variables and metrics that no attribute has by itself."""

    def __init__(self):
        super().__init__()
        self.numbers = [self.add_weight(shape=(), initializer="zeros") for _ in range(2)]
        self.inner = [self._tracker.track(keras.metrics.Mean())]

    def update_state(self, value):
        self.numbers[1].assign_add(value)
        self.inner[0].update_state(value)

    def result(self):
        return self.numbers[1] + self.inner[0].result()


class Evaluation(cp.Checkpointable):
    def __init__(self):
        self.mean = keras.metrics.Mean()
        self.more = {"auc": keras.metrics.AUC(num_thresholds=4), "late": keras.metrics.F1Score()}
        self.lists = InLists()
        self.seeds = keras.random.SeedGenerator(7)

    def update(self):
        self.mean.update_state([1.0, 4.0])
        self.more["auc"].update_state([0, 1, 1], [0.1, 0.7, 0.3])
        self.more["late"].update_state([[0.0, 1.0]], [[0.1, 0.9]])
        self.lists.update_state(3.0)

    def results(self):
        metrics = self.mean, *self.more.values(), self.lists
        return [np.asarray(metric.result()).tolist() for metric in metrics]

    def draw(self):
        return keras.random.normal((3,), seed=self.seeds).numpy().tolist()


def test_metrics_and_seed_generators_go_on(tmp_path):
    first = Evaluation()
    first.update()
    first.draw()
    path = cp.CheckpointableSaver(first).save(f"{tmp_path}/ckpt")
    results, drawn = first.results(), first.draw()
    again = Evaluation()
    again.update()  # F1Score makes its variables when it is first used
    again.update()
    status = cp.CheckpointableSaver(again).restore(path)
    status.assert_consumed()
    assert again.results() == results
    assert again.draw() == drawn


def test_what_a_metric_makes_later_is_seen_at_the_next_call(tmp_path):  # S21
    first = Evaluation()
    first.update()
    path = cp.CheckpointableSaver(first).save(f"{tmp_path}/ckpt")
    again = Evaluation()
    status = cp.CheckpointableSaver(again).restore(path)
    again.more["late"].update_state([[1.0, 1.0]], [[0.9, 0.9]])
    status.assert_consumed()
    assert again.results() == first.results()


def test_names_are_those_of_keras_2(tmp_path):
    """There metrics are tracked by TensorFlow; its files restore."""
    theirs = tf.Module()
    theirs.mean = tf.Module()
    theirs.mean.total, theirs.mean.count = tf.Variable(6.0), tf.Variable(3.0)
    path = tf.train.Checkpoint(metric=theirs.mean).write(f"{tmp_path}/theirs")
    mean = keras.metrics.Mean()
    checkpoint = cp.Checkpoint(metric=mean)
    checkpoint.read(path).assert_consumed()
    assert mean.result() == 2
    assert contents(checkpoint.write(f"{tmp_path}/ours")).keys() == contents(path).keys()
