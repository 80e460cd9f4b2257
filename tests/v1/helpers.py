"""V1 files: TensorFlow writes them, or a test does, message by message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_slice_pb2
from tensorflow.core.util.saved_tensor_slice_pb2 import SavedSliceMeta, SavedTensorSlices

import checkpointable as cp
from checkpointable.bundle.index.table_writer import TableBuilder
from checkpointable.bundle.slices import slice_key
from checkpointable.bundle.v1.reader import V1Reader

# What TensorFlow's V1 writer takes; the quantized ones are stored as their integers.
DTYPES = [
    *("float16", "float32", "float64", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16"),
]
QUANTIZED = {"qint8": "int8", "quint8": "uint8", "qint32": "int32"}


def write_v1(path, values) -> str:
    """TensorFlow writes name -> array (or tensor) into one file."""
    names = sorted(values)
    data = [tf.constant(values[name]) for name in names]
    tf.raw_ops.Save(filename=str(path), tensor_names=names, data=data)
    return str(path)


def write_slices(path, parts) -> str:
    """TensorFlow writes parts, (name, "4 2 0,2:-", array) each, into one file."""
    names, slices, data = zip(*parts, strict=True)
    tf.raw_ops.SaveSlices(
        filename=str(path),
        tensor_names=list(names),
        shapes_and_slices=list(slices),
        data=[tf.constant(array) for array in data],
    )
    return str(path)


def strings(*elements: bytes) -> np.ndarray:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array


FULL = (0, -1)


def _slice(extents) -> tensor_slice_pb2.TensorSliceProto:
    message = tensor_slice_pb2.TensorSliceProto()
    for start, length in extents:
        extent = message.extent.add()
        if start:
            extent.start = start
        if length >= 0:
            extent.length = length
    return message


def meta(name, shape, *slices, dtype=1) -> SavedSliceMeta:
    message = SavedSliceMeta(name=name, type=dtype)
    message.shape.SetInParent()
    for size in shape:
        message.shape.dim.add(size=size)
    message.slice.extend(map(_slice, slices or [[FULL] * len(shape)]))
    return message


def part(name, extents, **numbers) -> tuple[bytes, bytes]:
    """Key and value of an entry: `float_val=[…]` and the like."""
    message = SavedTensorSlices()
    message.data.name = name
    message.data.slice.CopyFrom(_slice(extents))
    message.data.data.CopyFrom(tensor_pb2.TensorProto(**numbers))
    return slice_key(name, tuple(extents)), message.SerializeToString()


def craft(path: Path, metas, parts, versions=None, *, first: bytes | None = None) -> str:
    """A file with good checksums, whatever its messages say."""
    message = SavedTensorSlices()
    message.meta.tensor.extend(metas)
    message.meta.versions.producer = 1
    for name, value in (versions or {}).items():
        if isinstance(value, list):
            getattr(message.meta.versions, name).extend(value)
        else:
            setattr(message.meta.versions, name, value)
    builder = TableBuilder()
    if first != b"none":
        builder.add(b"", message.SerializeToString() if first is None else first)
    for key, value in sorted(parts):
        builder.add(key, value)
    path.write_bytes(builder.finish())
    return str(path)


def shards(directory, whole):
    """Parts of "a" in two files, and a value in each."""
    for shard, rows in enumerate((slice(0, 2), slice(2, 6))):
        write_slices(
            directory / f"m-{shard:05d}-of-00002",
            [
                ("a", f"6 4 {rows.start},{rows.stop - rows.start}:-", whole[rows]),
                (f"only/{shard}", "", whole[shard]),
            ],
        )


def same(ours, theirs):
    ours = np.asarray(ours, object) if isinstance(ours, bytes) else ours
    theirs = np.asarray(theirs, object) if isinstance(theirs, bytes) else theirs
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes() if ours.dtype != object else (ours == theirs).all()


def theirs_can_read(path, key):
    """TensorFlow's reader takes neither parts nor every kind that its writer takes."""
    try:
        tf.train.load_checkpoint(path).get_tensor(key)
    except tf.errors.UnimplementedError:
        return False
    return True


def compare(path):
    """Everything that TensorFlow's reader says, ours says."""
    theirs = tf.train.load_checkpoint(path)
    shapes = theirs.get_variable_to_shape_map()
    with cp.load_checkpoint(path) as ours:
        assert isinstance(ours, V1Reader)
        assert ours.keys() == list(ours) == sorted(shapes)
        assert len(ours) == len(shapes)
        for key, shape in shapes.items():
            assert key in ours
            assert list(ours.shape(key)) == list(ours.stored(key).shape) == shape
            assert ours.stored(key).dtype == theirs.get_variable_to_dtype_map()[key].name
            if theirs_can_read(path, key):
                same(ours.get_tensor(key), theirs.get_tensor(key))
        ours.check(ours)
        assert ours.verify() == []
    assert [(k, list(s)) for k, s in cp.list_variables(path)] == tf.train.list_variables(path)
