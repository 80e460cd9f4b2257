"""What two checkpoints, or two contents, have to have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

import checkpointable as cp

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


def normal(contents: Any) -> tuple[Any, ...]:
    """Contents in a form whose equality is that of every bit: dtype, shape, elements."""
    array = np.asarray(contents, dtype=object) if isinstance(contents, bytes) else contents
    array = np.asarray(array)
    if array.dtype == object:
        return "string", array.shape, [bytes(element) for element in array.reshape(-1)]
    return array.dtype.name, array.shape, array.tobytes()


def all_normal(contents: dict[Any, Any]) -> dict[Any, tuple[Any, ...]]:
    return {key: normal(value) for key, value in contents.items()}


def graph_bytes(path: str) -> bytes:
    """The object graph without `full_name`, as TensorFlow's own message encodes it.

    As bytes, so that fields that only one side sets make a difference.
    """
    reader = tf.train.load_checkpoint(path)
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(GRAPH_KEY))
    for node in graph.nodes:
        for attribute in node.attributes:
            attribute.full_name = ""
    return graph.SerializeToString(deterministic=True)


def graph_text(path: str) -> str:
    """The same for people: what pytest shows where two graphs differ."""
    data = graph_bytes(path)
    return str(trackable_object_graph_pb2.TrackableObjectGraph.FromString(data))


def values_by_tensorflow(path: str) -> dict[str, tuple[Any, ...]]:
    reader = tf.train.load_checkpoint(path)
    keys = reader.get_variable_to_shape_map()
    return {key: normal(reader.get_tensor(key)) for key in keys if key != GRAPH_KEY}


def values_by_us(path: str) -> dict[str, tuple[Any, ...]]:
    with cp.load_checkpoint(path) as reader:
        return {key: normal(reader.get_tensor(key)) for key in reader.keys() if key != GRAPH_KEY}


def assert_same_checkpoint(ours: str, theirs: str) -> None:
    """The same keys, the same values by both readers, the same object graph."""
    expected = values_by_tensorflow(theirs)
    assert values_by_us(theirs) == expected
    assert values_by_tensorflow(ours) == expected
    assert values_by_us(ours) == expected
    if graph_bytes(ours) != graph_bytes(theirs):
        assert graph_text(ours) == graph_text(theirs)
        raise AssertionError(f"{graph_bytes(ours)!r} != {graph_bytes(theirs)!r}")
