"""A real model with Adam's slots, written by TensorFlow 1's name-based saver."""

from __future__ import annotations

import pytest
import tensorflow as tf

import checkpointable as cp


def test_every_value_is_read_as_tensorflow_reads_it(chiron_prefix):
    expected = tf.train.load_checkpoint(chiron_prefix)
    shapes = expected.get_variable_to_shape_map()
    assert len(shapes) == 167
    assert cp.list_variables(chiron_prefix) == [
        (name, tuple(shapes[name])) for name in sorted(shapes)
    ]
    with cp.load_checkpoint(chiron_prefix) as reader:
        assert reader.verify() == []
        for name in reader.keys():
            value, wanted = reader.get_tensor(name), expected.get_tensor(name)
            assert (value.dtype, value.shape) == (wanted.dtype, wanted.shape), name
            assert value.tobytes() == wanted.tobytes(), name


def test_it_has_no_object_graph(chiron_prefix):
    with pytest.raises(cp.CheckpointUnsupportedError, match="name-based"):
        cp.object_metadata(chiron_prefix)
