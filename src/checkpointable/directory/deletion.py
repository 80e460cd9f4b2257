"""Deletes a checkpoint so that no partial checkpoint is ever visible."""

from __future__ import annotations

import os

from checkpointable.bundle.format import index_path, parse_data_name, split_prefix
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.manifest import is_manifest_name
from checkpointable.storage import (
    FileIdentity,
    Storage,
    check_durability,
    default_storage,
    given_path,
)

__all__ = ["delete_checkpoint"]


def delete_checkpoint(
    prefix: str | os.PathLike[str],
    storage: Storage | None = None,
    durability: str = "fsync",
    *,
    index: FileIdentity | None = None,
) -> bool:
    """Deletes the files of one checkpoint: the index first, then the data files and manifests.

    Without an index there is no checkpoint, so the leftovers of an interrupted deletion are
    never mistaken for one. The caller must already have removed the checkpoint from the state
    file. The directory is locked: a concurrent save to this prefix writes its data before its
    index.

    Args:
      prefix: the checkpoint prefix.
      storage: the storage of the files. None: the default storage.
      durability: "fsync" makes the removal of the index durable before the data is deleted, so
        that a power loss cannot restore the index alone. "flush" leaves the order to the
        operating system.
      index: identity of the index; nothing is deleted if the index is another file by now.
        None: delete unconditionally.

    Returns:
      Whether the checkpoint was deleted.

    Raises:
      CheckpointIOError: a file could not be deleted; the files before it are gone.
    """
    storage = storage or default_storage()
    path = given_path(prefix, storage)
    directory, base = split_prefix(path)
    with storage.lock_directory(directory):
        if index is not None and storage.identity(index_path(path)) != index:
            return False
        try:
            storage.delete(index_path(path))
        except CheckpointNotFoundError:
            pass  # an earlier deletion was interrupted: continue it
        rest = [
            name
            for name in storage.list(directory)
            if parse_data_name(name, base) is not None or is_manifest_name(name, base)
        ]
        if rest and check_durability(durability) == "fsync":
            storage.sync_directory(directory)
        for name in rest:
            storage.delete(os.path.join(directory, name))
    return True
