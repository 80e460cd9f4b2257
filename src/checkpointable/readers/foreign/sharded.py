"""Reads the index of a model that is stored as several tensor files.

`model.safetensors.index.json` and `pytorch_model.bin.index.json` of Hugging Face:

    {"metadata": {…}, "weight_map": {name: file name, …}}
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from checkpointable.errors import CheckpointCorruptError
from checkpointable.readers.foreign import safetensors, torch_file
from checkpointable.readers.foreign.arrays import ArrayReader
from checkpointable.readers.formats import Candidate, Format, OpenOptions

if TYPE_CHECKING:
    from checkpointable.readers.foreign.array_items import FilePosition, Unreadable
    from checkpointable.readers.foreign.arrays import Array
    from checkpointable.readers.foreign.zip_records import RecordChecksums

__all__ = ["FORMAT", "open_sharded"]

_ENDINGS = (".safetensors.index.json", ".bin.index.json")
_PART_ENDINGS = (".safetensors", ".bin", ".pt", ".pth")


def open_sharded(candidate: Candidate, options: OpenOptions) -> ArrayReader:
    """Opens all files that an index names as one reader.

    Raises:
      CheckpointCorruptError: The index is damaged, names a file outside its directory, or names
        a tensor that its files do not have.
      CheckpointNotFoundError: One of the files does not exist.
    """
    path = candidate.path
    with candidate.storage.open(path) as file:
        contents = file.read(0, file.size)
    try:
        names = json.loads(contents)["weight_map"]
        files = sorted(set(names.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointCorruptError(
            f"it is not an index of tensor files: {error!r:.200}", path=path
        ) from None
    arrays: dict[str, Array | Unreadable] = {}
    positions: dict[str, FilePosition] = {}
    checksums: dict[str, RecordChecksums] = {}
    with ExitStack() as opened:
        for file_name in files:
            reader = opened.enter_context(_open_part(file_name, candidate, options))
            arrays.update(reader.arrays())
            positions.update(reader.positions())
            checksums.update(reader.checksums())
        missing = sorted(set(names) - set(arrays))
        if missing:
            raise CheckpointCorruptError("its files do not have it", path=path, key=missing[0])
        opened.pop_all()  # the new reader closes the files
    return ArrayReader(path, arrays, positions, checksums=checksums, in_place=options.mmap is True)


def _open_part(name: object, index: Candidate, options: OpenOptions) -> ArrayReader:
    if (
        not isinstance(name, str)
        or os.path.basename(name) != name
        or not name.endswith(_PART_ENDINGS)  # nor another index
    ):
        raise CheckpointCorruptError(
            f"it names {name!r:.80}, which is outside its directory or not a tensor file",
            path=index.path,
        )
    part = Candidate(os.path.join(os.path.dirname(index.path), name), index.storage)
    if torch_file.is_torch_file(part):
        return torch_file.open_torch_file(part, options)
    if name.endswith(".safetensors") or safetensors.is_safetensors(part):
        return safetensors.open_safetensors(part, options)
    raise CheckpointCorruptError("it names a file that contains no tensors", path=part.path)


def _is_sharded(candidate: Candidate) -> bool:
    start = candidate.start.lstrip()
    return start.startswith(b"{") and (
        b'"weight_map"' in start or candidate.path.endswith(_ENDINGS)
    )


FORMAT = Format("an index of several tensor files", _is_sharded, open_sharded, _ENDINGS)
