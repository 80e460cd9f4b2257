"""Opening what a user's path means: a checkpoint of either format, or a file of tensors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from checkpointable.bundle import BundleReader
from checkpointable.bundle.contents import check_mapped
from checkpointable.bundle.opening import open_checkpoint
from checkpointable.foreign import open_foreign
from checkpointable.management import checkpoint_prefix

if TYPE_CHECKING:
    from checkpointable.bundle.contents import Mapped

__all__ = ["open_stored"]


def open_stored(path: str | os.PathLike[str], *, mmap: Mapped = False) -> BundleReader:
    """The reader of what a user's path means: a checkpoint, or a file of tensors.

    Args:
      mmap: as `load_checkpoint`.

    Raises:
      ValueError: `mmap` is none of its values.
      CheckpointNotFoundError, CheckpointCorruptError, CheckpointUnsupportedError.
    """
    check_mapped(mmap)
    foreign = open_foreign(path)
    if foreign is None:
        return open_checkpoint(checkpoint_prefix(path), mmap=mmap)
    foreign.in_place = mmap is True  # an array that may be changed is a copy in any case
    return foreign
