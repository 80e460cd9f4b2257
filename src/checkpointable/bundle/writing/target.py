"""Checks whether a checkpoint may be written under a prefix."""

from __future__ import annotations

import errno

from checkpointable.bundle.format import index_path
from checkpointable.errors import CheckpointIOError
from checkpointable.storage import Storage, default_storage

__all__ = ["check_free", "check_target", "exists_already"]


def check_target(
    source: str, target: str, *, overwrite: bool, storage: Storage | None = None
) -> None:
    """Checks that a checkpoint made from the checkpoint `source` may have the prefix `target`.

    Raises:
      ValueError: `target` is the prefix of the source itself.
      CheckpointIOError: `target` has a checkpoint, and `overwrite` is False.
    """
    storage = storage or default_storage()
    identity = storage.identity(index_path(source))
    if identity is not None and identity == storage.identity(index_path(target)):
        raise ValueError(
            f"{target}: a checkpoint cannot be written over itself: choose another name"
        )
    if not overwrite:
        check_free(storage, target)


def check_free(storage: Storage, prefix: str) -> None:
    """Checks that a prefix has no checkpoint.

    Raises:
      CheckpointIOError: It has one.
    """
    if storage.exists(index_path(prefix)):
        raise exists_already("a checkpoint", prefix)


def exists_already(what: str, path: str) -> CheckpointIOError:
    """Returns the error for a file or checkpoint that must not be overwritten."""
    return CheckpointIOError(
        f"{what} of this name exists already; overwrite replaces it",
        path=path,
        errno=errno.EEXIST,
    )
