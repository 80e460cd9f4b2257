"""Deleting a checkpoint so that no instant shows half of one."""

from __future__ import annotations

import os

from checkpointable.bundle.format import index_path, parse_data_name, split_prefix
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.manifest import is_manifest_name
from checkpointable.storage import FileIdentity, Storage, check_durability, default_storage

__all__ = ["delete_checkpoint"]


def delete_checkpoint(
    prefix: str | os.PathLike[str],
    storage: Storage | None = None,
    durability: str = "fsync",
    *,
    index: FileIdentity | None = None,
) -> bool:
    """Deletes the files of one checkpoint: its index first, then its data and manifests.

    Without its index a prefix is no checkpoint, so what a crash leaves is never taken for one.
    The state file is the caller's: it must not name this checkpoint any more. Saves are held
    off meanwhile: the data of one of the same prefix is there before its index.

    Args:
      durability: "fsync": that the index is gone is durable before the data goes, so that a
        loss of power cannot bring it back alone. "flush" leaves the order to the system.
      index: delete only if this still is its index; None: whatever it is.

    Returns:
      Whether it was deleted.

    Raises:
      CheckpointIOError: the system refused; what could be deleted is gone.
    """
    storage = storage or default_storage()
    path = os.fspath(prefix)
    directory, base = split_prefix(path)
    with storage.lock_directory(directory):
        if index is not None and storage.identity(index_path(path)) != index:
            return False
        try:
            storage.delete(index_path(path))
        except CheckpointNotFoundError:
            pass  # a deletion that was cut short before goes on
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
