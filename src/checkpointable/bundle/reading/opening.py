"""Opening a checkpoint of either format, by what lies under its name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from checkpointable.bundle.format import index_path
from checkpointable.bundle.reading.contents import check_mapped
from checkpointable.bundle.reading.reader import BundleReader
from checkpointable.bundle.v1.files import v1_files
from checkpointable.bundle.v1.reader import V1Reader
from checkpointable.errors import CheckpointError, CheckpointUnsupportedError
from checkpointable.storage import Storage, default_storage

if TYPE_CHECKING:
    from checkpointable.bundle.reading.contents import Mapped
    from checkpointable.manifest import Verifier

__all__ = ["checkpoint_exists", "open_checkpoint"]


def open_checkpoint(
    prefix: str | os.PathLike[str],
    storage: Storage | None = None,
    *,
    damaged: bool = False,
    mmap: Mapped = False,
    verifier: Verifier | None = None,
) -> BundleReader:
    """The reader of the checkpoint under `prefix`: a bundle, or, without an index, a V1 file.

    Args: as `BundleReader`.

    Raises:
      CheckpointNotFoundError: there is neither; names the checkpoints beside it.
      CheckpointCorruptError, CheckpointUnsupportedError, CheckpointIOError: as `BundleReader`.
    """
    storage = storage or default_storage()
    path = os.fspath(prefix)
    if not storage.exists(index_path(path)) and v1_files(path, storage):
        check_mapped(mmap)
        if verifier is not None:
            raise CheckpointUnsupportedError(
                "a checkpoint of TensorFlow before 0.12 (V1) has no manifest: no key says who "
                "wrote it. `checkpointable reencode` makes one that can have",
                path=path,
            )
        return V1Reader(path, storage)  # which never has an array in its file
    return BundleReader(path, storage, damaged=damaged, mmap=mmap, verifier=verifier)


def checkpoint_exists(prefix: str, storage: Storage) -> bool:
    """Whether something lies under `prefix` that `open_checkpoint` would try to read."""
    if storage.exists(index_path(prefix)):
        return True
    try:
        return bool(v1_files(prefix, storage))
    except CheckpointError:
        return True  # some of its files
