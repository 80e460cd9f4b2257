"""Opens the checkpoint of a prefix, in either of TensorFlow's formats."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from checkpointable.bundle.format import index_path
from checkpointable.bundle.reading.reader import BundleReader
from checkpointable.bundle.reading.targets import check_mapped
from checkpointable.bundle.v1.files import v1_files
from checkpointable.bundle.v1.reader import V1Reader
from checkpointable.errors import CheckpointError, CheckpointUnsupportedError
from checkpointable.storage import Storage, default_storage

if TYPE_CHECKING:
    from checkpointable.bundle.reading.targets import Mapped
    from checkpointable.manifest import Verifier

__all__ = ["checkpoint_exists", "open_bundle", "open_checkpoint"]


def open_checkpoint(
    prefix: str | os.PathLike[str],
    storage: Storage | None = None,
    *,
    damaged: bool = False,
    mmap: Mapped = False,
    verifier: Verifier | None = None,
) -> BundleReader | V1Reader:
    """Opens the checkpoint of a prefix: a bundle or, if there is no index, a V1 checkpoint.

    `readers.opening` also opens tensor files.

    Args: As for `BundleReader`.

    Raises:
      CheckpointNotFoundError: There is neither; names the checkpoints in the directory.
      CheckpointCorruptError, CheckpointUnsupportedError, CheckpointIOError: As for
        `BundleReader`.
    """
    storage = storage or default_storage()
    path = os.fspath(prefix)
    if verifier is None and _is_v1(path, storage):
        check_mapped(mmap)
        return V1Reader(path, storage)  # its values cannot be mapped
    return open_bundle(path, storage, damaged=damaged, mmap=mmap, verifier=verifier)


def open_bundle(
    prefix: str | os.PathLike[str],
    storage: Storage | None = None,
    *,
    damaged: bool = False,
    mmap: Mapped = False,
    verifier: Verifier | None = None,
    v1: str = "has no manifest, so no key can verify it. `checkpointable reencode` makes one that "
    "can have",
) -> BundleReader:
    """Opens the bundle of a prefix; refuses V1 checkpoints.

    Args: As for `BundleReader`, and
      v1: The advice for a V1 checkpoint, for the message.

    Raises:
      CheckpointUnsupportedError: There is a V1 checkpoint.
      CheckpointNotFoundError, CheckpointCorruptError, CheckpointIOError: As for `BundleReader`.
    """
    storage = storage or default_storage()
    path = os.fspath(prefix)
    if _is_v1(path, storage):
        raise CheckpointUnsupportedError(
            f"a checkpoint of TensorFlow before 0.12 (V1) {v1}", path=path
        )
    return BundleReader(path, storage, damaged=damaged, mmap=mmap, verifier=verifier)


def _is_v1(path: str, storage: Storage) -> bool:
    return not storage.exists(index_path(path)) and bool(v1_files(path, storage))


def checkpoint_exists(prefix: str, storage: Storage) -> bool:
    """Returns whether there is something under `prefix` that `open_checkpoint` would read."""
    if storage.exists(index_path(prefix)):
        return True
    try:
        return bool(v1_files(prefix, storage))
    except CheckpointError:
        return True  # some of its files are missing
