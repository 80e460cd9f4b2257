"""Descriptions of the tensors of a file, for `ArrayReader`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from checkpointable.storage import ReadableFile

__all__ = ["FilePosition", "Unreadable"]


class Unreadable(NamedTuple):
    """A tensor that can be listed but not read.

    Attributes:
      dtype: The name of its dtype in the file.
      shape: Its dimensions.
      size: Its size in bytes.
      why: The reason, for the error message.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int
    why: str


class FilePosition(NamedTuple):
    """The position of the elements of an array in a file, row by row.

    Attributes:
      file: The open file.
      offset: The offset of the first element, in bytes.
    """

    file: ReadableFile
    offset: int
