"""Objects of both libraries in one program, either inside the other."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from tests.tf.programs import graph_and_session


class Net(cp.Checkpointable):
    def __init__(self, n):
        self.own = cp.Variable(np.full(2, n))
        self.list = [tf.Variable(n + 1), {"k": cp.Variable(n + 2)}]
        self.inner = tf.Module()
        self.inner.ours = Leaf(n + 3)
        self.inner.v = tf.Variable(n + 4)
        self.inner.many = [Leaf(n + 5), tf.Variable(n + 6), {"x": Leaf(n + 7)}]
        self.checkpoint = tf.train.Checkpoint(v=tf.Variable(n + 8))

    def numbers(self):
        inner = self.inner
        leaves = [inner.ours, inner.many[0], inner.many[2]["x"]]
        variables = [self.list[0], inner.v, inner.many[1], self.checkpoint.v]
        own = [int(self.own.numpy()[0]), int(self.list[1]["k"])]
        return own + [int(leaf.v) for leaf in leaves] + [int(v.numpy()) for v in variables]


class Leaf(cp.Checkpointable):
    def __init__(self, n):
        self.v = cp.Variable(n)


def test_they_are_saved_and_restored_together(tmp_path):
    net = Net(10)
    path = cp.Checkpoint(net=net).save(f"{tmp_path}/ckpt")
    again = Net(0)
    cp.Checkpoint(net=again).restore(path).assert_consumed()
    assert again.numbers() == net.numbers()
    keys = set(cp.load_checkpoint(path).keys())
    assert "net/inner/ours/v/.ATTRIBUTES/VARIABLE_VALUE" in keys
    assert "net/inner/many/2/x/v/.ATTRIBUTES/VARIABLE_VALUE" in keys


def test_tensorflow_passes_ours_by(tmp_path):
    net = Net(10)
    path = tf.train.Checkpoint(inner=net.inner).save(f"{tmp_path}/theirs")
    assert not [key for key, _ in tf.train.list_variables(path) if "ours" in key]
    other = Net(0)
    status = cp.Checkpoint(inner=other.inner).restore(path)
    assert other.inner.v.numpy() == 14
    with pytest.raises(AssertionError, match="inner/ours/v"):
        status.assert_existing_objects_matched()
    # And restores its part of what we saved.
    path = cp.Checkpoint(inner=net.inner).save(f"{tmp_path}/ours")
    other = Net(0)
    tf.train.Checkpoint(inner=other.inner).restore(path).assert_existing_objects_matched()
    assert other.inner.v.numpy() == 14


def test_ours_that_comes_later_is_found_at_the_next_call(tmp_path):  # S21
    module = tf.Module()
    module.leaf = Leaf(5)
    path = cp.Checkpoint(m=module).write(f"{tmp_path}/ckpt")
    later = tf.Module()
    status = cp.Checkpoint(m=later).read(path)
    later.leaf = Leaf(0)
    status.assert_consumed()  # TensorFlow does not tell of it: a call looks
    assert int(later.leaf.v) == 5


def test_theirs_that_comes_later_in_ours(tmp_path):  # S21
    path = cp.Checkpoint(net=Net(10)).write(f"{tmp_path}/ckpt")

    class Bare(cp.Checkpointable):
        pass

    bare = Bare()
    status = cp.Checkpoint(net=bare).read(path).expect_partial()
    bare.inner = tf.Module()
    bare.inner.v = tf.Variable(0)
    assert bare.inner.v.numpy() == 14
    bare.list = []
    bare.list.append(tf.Variable(0))
    assert bare.list[0].numpy() == 11
    status.expect_partial()


def test_a_tuple_of_tensorflow_s_stays_what_it_is():
    module = tf.Module()
    module.pair = (tf.Variable(1), 2)
    ours = Leaf(0)
    ours.pair = module.pair
    assert ours.pair is module.pair


def test_tuples_of_ours(tmp_path):  # S3
    """TensorFlow leaves a tuple as it is that has nothing of its own."""
    pair = collections.namedtuple("pair", "x y")

    def build(n):
        module = tf.Module()
        module.plain = (Leaf(n), 2, (Leaf(n + 1),))
        module.named = pair(Leaf(n + 2), "text")
        module.list = [(Leaf(n + 3),)]
        module.both = (Leaf(n + 4), tf.Variable(n + 5))
        module.numbers = (1, 2)
        return module

    def numbers(module):
        leaves = [module.plain[0], module.plain[2][0], module.named.x, module.list[0][0]]
        return [int(leaf.v) for leaf in [*leaves, module.both[0]]] + [int(module.both[1])]

    path = cp.Checkpoint(m=build(10)).save(f"{tmp_path}/ckpt")
    again = build(0)
    status = cp.Checkpoint(m=again).restore(path).assert_consumed()
    assert numbers(again) == [10, 11, 12, 13, 14, 15]
    assert status.report().complete
    later, built = tf.Module(), build(0)
    status = cp.Checkpoint(m=later).restore(path)
    for name in ("plain", "named", "list", "both"):
        setattr(later, name, getattr(built, name))
    status.assert_consumed()
    assert numbers(later) == [10, 11, 12, 13, 14, 15]
    tf.train.Checkpoint(m=again).restore(path).assert_existing_objects_matched()


def test_a_slot_of_theirs_beside_ours(tmp_path):
    x, optimizer = tf.Variable([1.0]), tf.compat.v1.train.AdamOptimizer(0.1)
    optimizer.minimize(lambda: x**2, var_list=[x])
    path = cp.Checkpoint(net=Net(1), x=x, optimizer=optimizer).save(f"{tmp_path}/ckpt")
    y, other = tf.Variable([0.0]), tf.compat.v1.train.AdamOptimizer(0.1)
    status = cp.Checkpoint(net=Net(2), x=y, optimizer=other).restore(path)
    assert other.get_slot(y, "m").numpy() == optimizer.get_slot(x, "m").numpy()
    other.minimize(lambda: y**2, var_list=[y])
    status.assert_consumed()


def test_a_counter_that_the_root_has_already(tmp_path):  # S15
    root = tf.train.Checkpoint(v=tf.Variable(1))
    first = root.save(f"{tmp_path}/ckpt")
    ours = cp.Checkpoint(root=root)
    second = ours.save(f"{tmp_path}/ckpt")
    assert (first[-2:], second[-2:]) == ("-1", "-2")
    assert root.save_counter.numpy() == 2
    names = [child.local_name for child in cp.object_metadata(second).nodes[0].children]
    assert names.count("save_counter") == 1


def test_a_counter_that_only_a_session_can_count_is_refused():  # S15
    with graph_and_session():
        root = tf.train.Checkpoint(v=tf.Variable(1))
        root.restore(None)
        with pytest.raises(ValueError, match=r"use CheckpointableSaver\(root\)"):
            cp.Checkpoint(root=root)
