"""A real model with Adam's slots, written by TensorFlow 2: rebuilt, restored, saved again."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

import checkpointable as cp
from tests.differential.sides import TensorFlow

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


def rebuild(prefix, *, restore_first=False):
    """The program that the file's own object graph describes, with zeros for values.

    Returns (root, status): `restore_first` restores into the bare root, so that everything
    is restored as it arrives; else the status is None.
    """
    graph = cp.object_metadata(prefix)
    reader = tf.train.load_checkpoint(prefix)
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    slot_ids = {s.slot_variable_node_id for node in graph.nodes for s in node.slot_variables}

    def make(node):
        if node.slot_variables:
            return cp.Optimizer()
        if not node.attributes:
            return cp.Checkpointable()
        (attribute,) = node.attributes
        key = attribute.checkpoint_key
        zeros = np.zeros(shapes[key], dtypes[key].as_numpy_dtype)
        return cp.Variable(zeros, name=attribute.full_name)

    objects = [None if i in slot_ids else make(node) for i, node in enumerate(graph.nodes)]
    status = cp.CheckpointableSaver(objects[0]).restore(prefix) if restore_first else None
    for parent, node in zip(objects, graph.nodes, strict=True):
        for child in node.children:
            parent._track_checkpointable(objects[child.node_id], child.local_name)
    return objects[0], status


def read_all(prefix):
    reader = tf.train.load_checkpoint(prefix)
    keys = reader.get_variable_to_shape_map()
    return {key: reader.get_tensor(key) for key in keys if key != GRAPH_KEY}


def read_graph(prefix):
    """As TensorFlow's message, without what this file's writer was too old to know."""
    data = tf.train.load_checkpoint(prefix).get_tensor(GRAPH_KEY)
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(data)
    for node in graph.nodes:
        node.ClearField("has_checkpoint_values")
        for attribute in node.attributes:
            attribute.full_name = ""
    return graph


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        a, b = np.asarray(found[key]), np.asarray(value)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), key


@pytest.mark.parametrize("restore_first", [False, True])
def test_it_is_rebuilt_restored_and_saved_again(basic_pitch_prefix, tmp_path, restore_first):
    # S12 S19 S21 S22: 330 nodes, 73 values, 36 of them slots
    root, status = rebuild(basic_pitch_prefix, restore_first=restore_first)
    if status is None:
        status = cp.CheckpointableSaver(root).restore(basic_pitch_prefix)
    status.assert_consumed().assert_existing_objects_matched()

    copy = cp.CheckpointableSaver(root).save(tmp_path / "copy", 1)
    expected = read_all(basic_pitch_prefix)
    assert len(expected) == 73
    assert_equal(read_all(copy), expected)
    assert read_graph(copy) == read_graph(basic_pitch_prefix)
    # And once more from the copy.
    other, _ = rebuild(copy)
    cp.CheckpointableSaver(other).restore(copy).assert_consumed()


def test_our_reader_reads_it_as_tensorflow_does(basic_pitch_prefix):
    expected = read_all(basic_pitch_prefix)
    with cp.load_checkpoint(basic_pitch_prefix) as reader:
        found = {key: reader.get_tensor(key) for key in reader.keys() if key != GRAPH_KEY}
        assert all(reader.shape(key) == value.shape for key, value in found.items())
    assert_equal(found, expected)
    listed = cp.list_variables(basic_pitch_prefix)
    assert listed == sorted(listed)
    assert [name for name, _ in listed] == sorted([*expected, GRAPH_KEY])


def test_an_index_file_stands_for_its_checkpoint(basic_pitch_prefix):
    with cp.load_checkpoint(f"{basic_pitch_prefix}.index") as reader:
        assert len(reader.keys()) == 74


def test_tensorflow_restores_the_copy(basic_pitch_prefix, tmp_path):
    root, _ = rebuild(basic_pitch_prefix)
    cp.CheckpointableSaver(root).restore(basic_pitch_prefix)
    copy = cp.CheckpointableSaver(root).save(tmp_path / "copy")

    graph, reader = read_graph(copy), tf.train.load_checkpoint(copy)
    side = TensorFlow()
    slot_ids = {s.slot_variable_node_id for node in graph.nodes for s in node.slot_variables}
    objects = []
    for node_id, node in enumerate(graph.nodes):
        kind = "optimizer" if node.slot_variables else "module"
        contents = None
        if node.attributes:
            kind, contents = "variable", reader.get_tensor(node.attributes[0].checkpoint_key)
            contents = np.zeros_like(contents)
        objects.append(None if node_id in slot_ids else side.make(kind, contents))
    for parent, node in zip(objects, graph.nodes, strict=True):
        for child in node.children:
            parent._track_trackable(objects[child.node_id], child.local_name)
    side.restore(objects[0], copy).assert_consumed()
    found = {}
    for node_id, node in enumerate(graph.nodes):
        for slot in node.slot_variables:
            variable = objects[slot.original_variable_node_id]
            slot_variable = objects[node_id].get_slot(variable, slot.slot_name)
            objects[slot.slot_variable_node_id] = slot_variable
    for obj, node in zip(objects, graph.nodes, strict=True):
        for attribute in node.attributes:
            found[attribute.checkpoint_key] = obj.numpy()
    assert_equal(found, read_all(basic_pitch_prefix))
