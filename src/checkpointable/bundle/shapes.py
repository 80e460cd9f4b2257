"""Decodes the messages of shapes, and of slices in partitioned values.

TensorShapeProto   {2 dim[] {1 size, 2 name}, 3 unknown_rank}
TensorSliceProto   {1 extent[] {1 start, 2 length}}; an extent without a length is the
whole dimension
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpointable.bundle.format import RANK_MAX
from checkpointable.wire.fields import LENGTH, VARINT, read_fields, signed
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    from typing import TypeAlias

    # (start, length) per dimension; length -1 stands for the whole dimension.
    Extents: TypeAlias = tuple[tuple[int, int], ...]

__all__ = ["FULL_EXTENT", "decode_shape", "decode_slice"]

FULL_EXTENT = -1


def decode_shape(data: bytes | memoryview, position: int, end: int) -> tuple[tuple[int, ...], bool]:
    """Reads the shape message in `[position, end)`; returns (dimensions, all fields known).

    Raises:
      Malformed: Also for a negative dimension, an unknown rank, or more than 254 dimensions.
    """
    dims: list[int] = []
    known = True
    for number, kind, a, b in read_fields(data, position, end):
        if (number, kind) == (2, LENGTH):
            size = 0
            for inner_number, inner_kind, inner_value, _ in read_fields(data, a, b):
                if (inner_number, inner_kind) == (1, VARINT):
                    size = signed(inner_value)
                else:
                    known = False
            if size < 0:
                raise Malformed(f"dimension {len(dims)} of the shape is {size}", position)
            if len(dims) == RANK_MAX:
                raise Malformed(f"the shape has more than {RANK_MAX} dimensions", position)
            dims.append(size)
        elif (number, kind) == (3, VARINT):
            if a:
                raise Malformed("the shape is of unknown rank", position)
        else:
            known = False
    return tuple(dims), known


def decode_slice(data: bytes | memoryview, position: int, end: int) -> tuple[Extents, bool]:
    """Reads the slice message in `[position, end)`; returns (extents, all fields known).

    Raises:
      Malformed: Also for a negative start or length, or more than 254 dimensions.
    """
    extents: list[tuple[int, int]] = []
    known = True
    for number, kind, a, b in read_fields(data, position, end):
        if (number, kind) != (1, LENGTH):
            known = False
            continue
        start, length = 0, FULL_EXTENT
        for inner_number, inner_kind, inner_value, _ in read_fields(data, a, b):
            if (inner_number, inner_kind) == (1, VARINT):
                start = signed(inner_value)
            elif (inner_number, inner_kind) == (2, VARINT):
                length = signed(inner_value)
            else:
                known = False
        if start < 0 or length < FULL_EXTENT:
            raise Malformed(f"a slice starts at {start} and has {length} elements", position)
        if len(extents) == RANK_MAX:
            raise Malformed(f"a slice has more than {RANK_MAX} dimensions", position)
        extents.append((start, length))
    return tuple(extents), known
