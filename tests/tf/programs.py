"""Small programs of TensorFlow 1: in a graph, with a session."""

from __future__ import annotations

import contextlib

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


@contextlib.contextmanager
def graph_and_session():
    with tf.Graph().as_default() as graph, v1.Session() as session:
        yield graph, session


class Net(tf.Module):
    """Two variables, of either kind, and an optimizer's step over them."""

    def __init__(self, start=1.0, *, resource=True):
        super().__init__()
        with v1.variable_scope("net", use_resource=resource):
            self.x = v1.get_variable("x", initializer=np.float32([start, start + 1]))
            self.y = v1.get_variable("y", initializer=np.float32([[start * 2], [3.0]]))

    @property
    def loss(self):
        return tf.reduce_sum(self.x**2) + tf.reduce_sum(self.y**3)


def values(session, net, optimizer=None):
    """Everything that the program holds, evaluated."""
    tensors = [net.x, net.y]
    if optimizer is not None:
        for name in optimizer.get_slot_names():
            tensors += [optimizer.get_slot(net.x, name), optimizer.get_slot(net.y, name)]
        tensors += optimizer._get_beta_accumulators()
    return [np.asarray(value).tolist() for value in session.run(tensors)]


def trained(session, *, steps=3, resource=True):
    """A net and its optimizer after some steps."""
    net, optimizer = Net(resource=resource), v1.train.AdamOptimizer(0.1)
    step = optimizer.minimize(net.loss)
    session.run(v1.global_variables_initializer())
    for _ in range(steps):
        session.run(step)
    return net, optimizer
