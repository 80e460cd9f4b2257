"""Describes checkpoints and their values as far as that is known without reading a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from checkpointable.bundle.dtypes import DataType

__all__ = ["FileDicts", "Location", "ReaderKind", "StoredValue", "dtype_name"]

ReaderKind = Literal["object-based", "name-based", "tensors"]
"""The kind of the keys of a checkpoint, which determines how it is restored.

"object-based": The checkpoint stores an object graph, which maps its keys to objects.
"name-based": The keys are global names of variables; there is no object graph.
"tensors": A tensor file of another library; the keys are names of a state dict.
"""

_SHORT_NAMES = {"float": "float32", "double": "float64", "half": "float16"}


class StoredValue(NamedTuple):
    """A stored value, described without reading it.

    Attributes:
      key: The key of the value.
      dtype: The name of the dtype, as NumPy and TensorFlow spell it: "float32", "string",
        "variant". Also set for dtypes that NumPy does not have.
      shape: The dimensions.
      nbytes: The size in bytes. For a partitioned value: of all of its slices.
      checksum: The checksum of the bytes; None if the format stores none for the whole value.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    checksum: int | None


class Location(NamedTuple):
    """The location of a value, or of one slice of a partitioned value, in a data file.

    Attributes:
      file: The path of the data file.
      offset: The offset in the file, in bytes.
      size: The size in bytes.
      checksum: The masked crc32c of the bytes.
      extents: The (start, length) of each dimension of a slice; empty for a whole value.
    """

    file: str
    offset: int
    size: int
    checksum: int
    extents: tuple[tuple[int, int], ...] = ()


class FileDicts(NamedTuple):
    """The dicts in a tensor file that stores dicts within dicts.

    Attributes:
      sections: Names of dicts; the names of their tensors begin with them.
      optimizers: Names of dicts that are the state of an optimizer, by parameter position.
      others: Names of items that are neither tensors nor dicts, without those of optimizers.
    """

    sections: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def dtype_name(dtype: DataType) -> str:
    """Returns the name of a dtype: "float32", "bfloat16", "qint8", "string"; else "DT_99"."""
    name = dtype.name.removeprefix("DT_").lower()
    return dtype.name if name.isdigit() else _SHORT_NAMES.get(name, name)
