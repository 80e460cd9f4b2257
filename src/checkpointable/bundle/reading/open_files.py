"""Opens the index and the data files of a checkpoint, while others may replace it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from checkpointable.bundle.format import index_path, prefix_of_index, split_prefix
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

# Each further attempt requires another save of the same prefix in the time that it takes to open
# two files.
_ATTEMPTS = 1000


def open_files(
    prefix: str,
    storage: Storage,
    *,
    damaged: bool = False,
    verifier: Verifier | None = None,
) -> Files:
    """Opens and verifies the index of `prefix`, and opens its data files.

    A save of the same prefix may replace both meanwhile. If the index is another file once the
    data files are open (or missing), everything is read again.

    Args:
      prefix: The checkpoint prefix.
      storage: Where to read.
      damaged: Accept data files that are missing or too short.
      verifier: Verifies the manifest before anything else is read; the data files are then read
        through its hashes. None to ignore manifests.

    Raises:
      CheckpointNotFoundError: There is no such checkpoint; names those in the same directory.
      CheckpointCorruptError: The index is damaged, or a data file is missing or too short.
      CheckpointUnsupportedError: A newer version of the format, or a V1 checkpoint.
      CheckpointSignatureError: There is no manifest that `verifier` accepts.
      CheckpointIOError: The files cannot be opened or read.
    """
    path = index_path(prefix)
    for _ in range(_ATTEMPTS):
        try:
            index_file = storage.open(path)
        except CheckpointNotFoundError:
            raise _not_found(prefix, storage) from None
        # Kept open until the data files are, so that its inode is not reused meanwhile.
        with index_file:
            contents = index_file.read(0, index_file.size)
            manifest = None
            try:
                if verifier is not None:
                    manifest = load_manifest(prefix, contents, storage, verifier)
            except CheckpointError:
                if storage.identity(path) != index_file.identity:
                    continue  # a save has replaced the index and removed the manifest
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
        "they have finished, or save to numbered prefixes",
        path=prefix,
        errno=errno.EBUSY,
    )


def _open_data(files: Files, storage: Storage) -> list[str]:
    """Opens the data files; returns the paths of missing ones."""
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
            "this is a single file, not a checkpoint prefix; load_checkpoint opens checkpoints of "
            "TensorFlow before 0.12 (V1)",
            path=prefix,
        )
    others = checkpoints_in(split_prefix(prefix)[0], storage)
    if others:
        beside = f"its directory has {', '.join(map(repr, others[:10]))}"
        if len(others) > 10:
            beside += f" and {len(others) - 10} more"
    else:
        beside = "its directory has none"
    return CheckpointNotFoundError(
        f"there is no checkpoint of this name ({os.path.basename(index_path(prefix))} does not "
        f"exist); {beside}",
        path=prefix,
    )


def checkpoints_in(directory: str, storage: Storage) -> list[str]:
    """Returns the names of the checkpoints in a directory; none if it does not exist."""
    try:
        names: Iterable[str] = storage.list(directory)
    except CheckpointError:
        return []
    return [
        prefix
        for name in names
        if (prefix := prefix_of_index(name)) is not None and not name.startswith(".")
    ]
