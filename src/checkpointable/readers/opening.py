"""Opening what a user's path means: a checkpoint of either format, or a file of tensors."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from checkpointable.bundle import BundleReader
from checkpointable.bundle.format import index_path
from checkpointable.bundle.reading.contents import check_mapped
from checkpointable.bundle.reading.opening import open_checkpoint
from checkpointable.directory.latest import open_named
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.manifest import Key, Verifier, verifier_of
from checkpointable.readers.foreign import open_foreign
from checkpointable.storage import default_storage

if TYPE_CHECKING:
    from checkpointable.bundle.reading.contents import Mapped
    from checkpointable.bundle.reading.reader import Verify

__all__ = ["open_stored", "refuse_foreign", "verifier_of_option"]


def open_stored(
    path: str | os.PathLike[str], *, mmap: Mapped = False, verifier: Verifier | None = None
) -> BundleReader:
    """The reader of what a user's path means: a checkpoint, or a file of tensors.

    Args:
      mmap: as `load_checkpoint`.
      verifier: judges the checkpoint's manifest; None: nobody asks for one.

    Raises:
      ValueError: `mmap` is none of its values.
      CheckpointNotFoundError, CheckpointCorruptError, CheckpointUnsupportedError.
    """
    check_mapped(mmap)
    if verifier is not None:
        refuse_foreign(path)
    foreign = open_foreign(path)
    if foreign is None:
        return open_named(path, partial(open_checkpoint, mmap=mmap, verifier=verifier))
    foreign.in_place = mmap is True  # an array that may be changed is a copy in any case
    return foreign


def refuse_foreign(path: str | os.PathLike[str]) -> None:
    """Checks that a path for which a key was given is not that of a file of tensors.

    Nothing of it is read first: whoever gives a key trusts nothing that is not signed.

    Raises:
      CheckpointUnsupportedError
    """
    name = os.fspath(path)
    storage = default_storage()
    if not storage.exists(name) or storage.is_directory(name):
        return
    if not storage.exists(index_path(name)) and not name.endswith(".index"):
        raise CheckpointUnsupportedError(
            "a single file (of tensors, or of TensorFlow before 0.12) has no manifest, so no key "
            "says who wrote it",
            path=name,
        )


def verifier_of_option(trusted_key: Key | None, verify: Verify = True) -> Verifier | None:
    """Returns what judges manifests by the option `trusted_key=`; None where it is not given.

    Raises:
      ValueError, TypeError: `trusted_key` is not a key, or not everything is to be verified.
    """
    if trusted_key is None:
        return None
    if verify is not True:
        raise ValueError(
            f"verify={verify!r} leaves out checks that trusted_key= needs: leave out verify= or "
            "trusted_key="
        )
    return verifier_of(trusted_key)
