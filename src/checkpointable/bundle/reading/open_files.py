"""Opens the index and the data files of a bundle, beside whoever saves it anew meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from checkpointable.bundle.format import index_path, split_prefix
from checkpointable.bundle.index.index import load_index
from checkpointable.bundle.reading.data import Files, missing
from checkpointable.bundle.reading.signed import load_manifest
from checkpointable.errors import (
    CheckpointError,
    CheckpointIOError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.manifest import Verifier
from checkpointable.storage import Storage

__all__ = ["checkpoints_in", "open_files"]

# Each further attempt needs another save of the same prefix in the time it takes to open
# two files: as many in a row are a program that does nothing else.
_ATTEMPTS = 1000


def open_files(
    prefix: str,
    storage: Storage,
    *,
    damaged: bool = False,
    verifier: Verifier | None = None,
) -> Files:
    """Opens and verifies the index of `prefix`, and opens its data files.

    A save of the same prefix may replace both in the meantime. That is seen by the index
    being another one after the data files are open (or are gone); then all is read again.

    Args:
      damaged: go on without data files that are missing or too short.
      verifier: judges the checkpoint's manifest before anything else of it is looked at, and
        the data is read by what the manifest says of it; None: nobody asks for one.

    Raises:
      CheckpointNotFoundError: there is no such checkpoint; names those beside it.
      CheckpointCorruptError, CheckpointUnsupportedError, CheckpointIOError
      CheckpointSignatureError: there is no manifest, or none that `verifier` vouches for.
    """
    path = index_path(prefix)
    for _ in range(_ATTEMPTS):
        try:
            index_file = storage.open(path)
        except CheckpointNotFoundError:
            raise _not_found(prefix, storage) from None
        # Kept open until the data is: its inode cannot become another file's meanwhile.
        with index_file:
            contents = index_file.read(0, index_file.size)
            manifest = None
            try:
                if verifier is not None:
                    manifest = load_manifest(prefix, contents, storage, verifier)
            except CheckpointError:
                if storage.identity(path) != index_file.identity:
                    continue  # a save has taken the manifest away together with the index
                raise
            index = load_index(contents, path)
            files = Files(prefix, index, index_file)
            try:
                absent = _open_data(files, storage)
                if storage.identity(path) != index_file.identity:
                    files.close()
                    continue
                if absent and not damaged:
                    raise missing(absent[0])
                if not damaged:
                    sizes = {shard: file.size for shard, file in files.data.items()}
                    index.check_data_sizes(sizes, files.paths)
                if manifest is not None:
                    files.use_manifest(manifest, damaged=damaged)
            except BaseException:
                files.close()
                raise
            return files
    raise CheckpointIOError(
        f"saves replaced it {_ATTEMPTS} times in a row while it was being opened: open it when "
        "they are done, or save under numbers",
        path=prefix,
        errno=errno.EBUSY,
    )


def _open_data(files: Files, storage: Storage) -> list[str]:
    """Opens the data files; returns the paths of those that are not there."""
    absent = []
    for shard, path in files.paths.items():
        try:
            files.data[shard] = storage.open(path)
        except CheckpointNotFoundError:
            absent.append(path)
    return absent


def _not_found(prefix: str, storage: Storage) -> CheckpointError:
    if storage.exists(prefix) and not storage.is_directory(prefix):
        return CheckpointUnsupportedError(
            "this is one file, not the prefix of a bundle's files; a checkpoint of TensorFlow "
            "before 0.12 (V1) is opened by load_checkpoint",
            path=prefix,
        )
    others = checkpoints_in(split_prefix(prefix)[0], storage)
    if others:
        beside = f"beside it lie {', '.join(map(repr, others[:10]))}"
        if len(others) > 10:
            beside += f" and {len(others) - 10} more"
    else:
        beside = "there is none in its directory"
    return CheckpointNotFoundError(
        f"there is no checkpoint of this name ({os.path.basename(index_path(prefix))} does not "
        f"exist); {beside}",
        path=prefix,
    )


def checkpoints_in(directory: str, storage: Storage) -> list[str]:
    """The names of the checkpoints (by their indexes) in a directory; none if it is not there."""
    try:
        names: Iterable[str] = storage.list(directory)
    except CheckpointError:
        return []
    ending = index_path("")
    return [
        name.removesuffix(ending)
        for name in names
        if name.endswith(ending) and not name.startswith(".")
    ]
