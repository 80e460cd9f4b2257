"""Which kind of foreign file lies at a path, by its name and its first bytes."""

from __future__ import annotations

import json
import os

from checkpointable.bundle.format import index_path
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.readers.foreign.arrays import ArrayReader
from checkpointable.readers.foreign.kinds import START_SIZE, other_kind
from checkpointable.readers.foreign.safetensors import open_safetensors
from checkpointable.storage import default_storage

__all__ = ["open_foreign"]

_INDEXES = (".safetensors.index.json", ".bin.index.json")
_SAFETENSORS = ".safetensors"
_OF_TENSORS = (_SAFETENSORS, ".bin", ".pt", ".pth")  # what an index may name
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"


def open_foreign(path: str | os.PathLike[str]) -> ArrayReader | None:
    """The reader of a file of tensors that others wrote; None if there is none at `path`.

    A `.safetensors.index.json` or `.bin.index.json`, as large models have it, stands for all of
    its files. A checkpoint of the same name comes first.

    Raises:
      CheckpointCorruptError, CheckpointUnsupportedError: it is one, but cannot be read; or a
        file of another kind that is known by its first bytes.
    """
    name: str | bytes = os.fspath(path)
    storage = default_storage()
    if isinstance(name, bytes) or not storage.exists(name) or storage.is_directory(name):
        return None
    if storage.exists(index_path(name)):
        return None
    if name.endswith(_INDEXES):
        return _open_sharded(name)
    if name.endswith(_SAFETENSORS):
        return open_safetensors(name)
    with storage.open(name) as file:
        start = bytes(file.read(0, min(START_SIZE, file.size)))
    other = other_kind(start)
    if other is not None:
        raise CheckpointUnsupportedError(f"this is {other}", path=name)
    is_zip = start.startswith(_ZIP)
    if is_zip or (start[:1] == _PICKLE and not name.endswith(".index")):
        from checkpointable.readers.foreign.torch_file import open_torch_file

        return open_torch_file(name, is_zip=is_zip)
    return None


def _open_sharded(path: str) -> ArrayReader:
    with default_storage().open(path) as file:
        contents = file.read(0, file.size)
    try:
        names = json.loads(contents)["weight_map"]
        files = sorted(set(names.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointCorruptError(f"it is no such index: {error!r:.200}", path=path) from None
    arrays, places = {}, {}
    for file_name in files:
        if (
            not isinstance(file_name, str)
            or os.path.basename(file_name) != file_name
            or not file_name.endswith(_OF_TENSORS)  # and is no further index
        ):
            raise CheckpointCorruptError(
                f"it names a file elsewhere, or none of tensors: {file_name!r:.80}", path=path
            )
        one = os.path.join(os.path.dirname(path), file_name)
        reader = open_safetensors(one) if one.endswith(_SAFETENSORS) else open_foreign(one)
        if reader is None:
            raise CheckpointCorruptError("it names a file that holds no tensors", path=one)
        arrays.update(reader._arrays)
        places.update(reader._places)
    missing = sorted(set(names) - set(arrays))
    if missing:
        raise CheckpointCorruptError("its files do not have it", path=path, key=missing[0])
    return ArrayReader(path, arrays, places)
