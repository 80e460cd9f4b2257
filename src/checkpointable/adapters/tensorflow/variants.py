"""Opaque tensors (the state of a data iterator) as bytes, one message per element.

TensorFlow shows them only inside a serialized tensor, whose content is

    the size of each message, as varints; then the messages (VariantTensorDataProto)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.types_pb2 import DT_VARIANT

from checkpointable.wire.varints import decode_varint, encode_varint

__all__ = ["messages_of", "serialized"]

Array = np.ndarray[Any, np.dtype[Any]]


def messages_of(tensor: bytes) -> Array:
    """Returns the messages in a variant tensor that `tf.io.serialize_tensor` returned."""
    proto = TensorProto.FromString(tensor)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    array: Array = np.empty(shape, dtype=object)
    flat = array.reshape(-1)
    content = proto.tensor_content
    position = 0
    sizes = []
    for _ in range(flat.size):
        size, position = decode_varint(content, position, len(content))
        sizes.append(size)
    for index, size in enumerate(sizes):
        flat[index] = content[position : position + size]
        position += size
    return array


def serialized(messages: Array) -> bytes:
    """Returns the bytes from which `tf.io.parse_tensor` makes a variant tensor of messages."""
    proto = TensorProto(dtype=DT_VARIANT)
    for size in messages.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = messages.reshape(-1).tolist()
    sizes = b"".join(encode_varint(len(message)) for message in flat)
    proto.tensor_content = sizes + b"".join(flat)
    data: bytes = proto.SerializeToString()
    return data
