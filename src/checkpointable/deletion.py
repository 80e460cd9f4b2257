"""Deleting a checkpoint so that no instant shows half of one."""

from __future__ import annotations

import os

from checkpointable.bundle.format import index_path, parse_data_name, split_prefix
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.storage import LocalStorage, Storage

__all__ = ["delete_checkpoint"]


def delete_checkpoint(prefix: str | os.PathLike[str], storage: Storage | None = None) -> None:
    """Deletes the files of one checkpoint: its index first, then its data.

    Without its index a prefix is no checkpoint, so what a crash leaves is never taken for one.
    The state file is the caller's: it must not name this checkpoint any more.

    Raises:
      CheckpointIOError: the system refused; what could be deleted is gone.
    """
    storage = storage or LocalStorage()
    path = os.fspath(prefix)
    directory, base = split_prefix(path)
    try:
        storage.delete(index_path(path))
    except CheckpointNotFoundError:
        pass  # a deletion that was cut short before goes on
    for name in storage.list(directory):
        if parse_data_name(name, base) is not None:
            storage.delete(os.path.join(directory, name))
