"""Partitioned values: the keys of their parts, and the position of each part in the whole.

A part is stored under a key that sorts by name and position ("ordered code"):

    number 0, the name, the number of dimensions, then start and length of each dimension

    number         00 for 0; else the count of its bytes, then the bytes, highest first
    name           as UTF-8, with 00 written 00 FF, ended by 00 01
    start, length  n bytes, highest first, that hold 7n - 1 bits and, before these, n ones
                   and a zero; of a negative number (length -1: the whole dimension) the
                   encoding of its complement with all bits inverted
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from checkpointable.bundle.shapes import FULL_EXTENT

if TYPE_CHECKING:
    from checkpointable.bundle.shapes import Extents

__all__ = ["resolve", "slice_key", "tiles"]


def _encode_number(value: int) -> bytes:
    body = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes((len(body),)) + body


def _encode_signed(value: int) -> bytes:
    magnitude = ~value if value < 0 else value
    size = magnitude.bit_length() // 7 + 1
    number = magnitude | ((1 << size) - 1) << (7 * size)
    if value < 0:
        number ^= (1 << (8 * size)) - 1
    return number.to_bytes(size, "big")


def slice_key(name: str, extents: Extents) -> bytes:
    """Returns the key under which the part `extents` of the value `name` is stored."""
    # The code would also escape FF, which UTF-8 does not contain.
    parts = [_encode_number(0), name.encode().replace(b"\0", b"\0\xff") + b"\0\x01"]
    parts.append(_encode_number(len(extents)))
    for start, length in extents:
        parts += (_encode_signed(start), _encode_signed(length))
    return b"".join(parts)


def resolve(extents: Extents, shape: tuple[int, ...]) -> Extents | None:
    """Returns the extents with explicit lengths; None if they do not fit `shape`."""
    if len(extents) != len(shape):
        return None
    resolved = tuple(
        (start, dim - start if length == FULL_EXTENT else length)
        for (start, length), dim in zip(extents, shape, strict=True)
    )
    for (start, length), dim in zip(resolved, shape, strict=True):
        if length < 0 or start + length > dim:
            return None
    return resolved


def tiles(parts: list[Extents], shape: tuple[int, ...]) -> bool:
    """Returns whether the parts (resolved) cover each element of `shape` once.

    Allocates one byte per element of `shape`, but only if the parts have the same number of
    elements.
    """
    covered = sum(math.prod(length for _, length in part) for part in parts)
    if covered != math.prod(shape):
        return False
    seen = np.zeros(shape, np.bool_)
    for part in parts:
        seen[tuple(slice(start, start + length) for start, length in part)] = True
    return bool(seen.all())
