"""Opaque tensors (the state of a data iterator) as bytes, a message an element.

TensorFlow gives them only within a serialized tensor, whose content is

    size of each message, a varint each; then the messages (VariantTensorDataProto)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.types_pb2 import DT_VARIANT

__all__ = ["messages_of", "serialized"]

Array = np.ndarray[Any, np.dtype[Any]]


def messages_of(tensor: bytes) -> Array:
    """The messages of a variant tensor that `tf.io.serialize_tensor` gave."""
    proto = TensorProto.FromString(tensor)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    array: Array = np.empty(shape, dtype=object)
    flat = array.reshape(-1)
    content = proto.tensor_content
    position = 0
    sizes = []
    for _ in range(flat.size):
        size = shift = 0
        more = True
        while more:
            byte = content[position]
            size |= (byte & 0x7F) << shift
            position, shift, more = position + 1, shift + 7, byte >= 0x80
        sizes.append(size)
    for index, size in enumerate(sizes):
        flat[index] = content[position : position + size]
        position += size
    return array


def serialized(messages: Array) -> bytes:
    """What `tf.io.parse_tensor` makes a variant tensor of; the inverse of `messages_of`."""
    proto = TensorProto(dtype=DT_VARIANT)
    for size in messages.shape:
        proto.tensor_shape.dim.add(size=size)
    content = bytearray()
    flat = messages.reshape(-1).tolist()
    for message in flat:
        size = len(message)
        while size >= 0x80:
            content.append(size & 0x7F | 0x80)
            size >>= 7
        content.append(size)
    proto.tensor_content = bytes(content) + b"".join(flat)
    data: bytes = proto.SerializeToString()
    return data
