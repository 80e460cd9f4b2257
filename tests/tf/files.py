"""What is in a checkpoint, as TensorFlow reads it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


def graph_of(path):
    data = tf.train.load_checkpoint(path).get_tensor(GRAPH_KEY)
    return TrackableObjectGraph.FromString(data)


def contents(path):
    """Key -> contents; of opaque values, their dtype and shape."""
    reader = tf.train.load_checkpoint(path)
    dtypes = reader.get_variable_to_dtype_map()
    found = {}
    for key, shape in reader.get_variable_to_shape_map().items():
        if key != GRAPH_KEY:
            opaque = dtypes[key] == tf.variant
            found[key] = f"variant, shape {shape}" if opaque else reader.get_tensor(key)
    return found


def assert_same_files(theirs, ours):
    """The same object graph, keys, dtypes, shapes and values."""
    assert str(graph_of(ours)) == str(graph_of(theirs))
    assert_same_contents(theirs, ours)


def assert_same_contents(theirs, ours):
    """The same keys, dtypes, shapes and values."""
    expected, found = contents(theirs), contents(ours)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, key)
