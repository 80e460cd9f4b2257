"""Opens checkpoints and tensor files of any format, by path."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from checkpointable.bundle.format import index_path, prefix_of_index
from checkpointable.bundle.opening import open_checkpoint
from checkpointable.bundle.reading.reader import BundleReader
from checkpointable.bundle.reading.targets import check_mapped
from checkpointable.directory.prefixes import open_named
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.manifest import Key, Verifier, verifier_of
from checkpointable.readers import checkpoints
from checkpointable.readers.foreign import safetensors, sharded, torch_file
from checkpointable.readers.foreign.kinds import other_kind
from checkpointable.readers.formats import Candidate, Format, OpenOptions
from checkpointable.storage import default_storage, given_path

if TYPE_CHECKING:
    from checkpointable.bundle.reading.targets import Mapped, Verify
    from checkpointable.readers.reader import CheckpointReader

__all__ = ["FORMATS", "open_stored", "refuse_unsigned", "require_bundle", "verifier_of_option"]

FORMATS: tuple[Format, ...] = (
    checkpoints.BUNDLE,
    sharded.FORMAT,
    safetensors.FORMAT,
    torch_file.FORMAT,
    checkpoints.V1,
)
"""Every format, in the order in which they are tried. A new format is one line here."""


def open_stored(
    path: str | os.PathLike[str],
    *,
    mmap: Mapped = False,
    verifier: Verifier | None = None,
    damaged: bool = False,
    find: Callable[[str], str] | None = None,
) -> CheckpointReader:
    """Opens the checkpoint or tensor file that a user's path means.

    Args:
      path: A checkpoint prefix, an `.index` file, a directory (its latest checkpoint), or a
        tensor file.
      mmap: As for `load_checkpoint`.
      verifier: Verifies the manifest; None: no manifest is needed.
      damaged: Also open a checkpoint whose data files are missing or too short.
      find: Returns the prefix that a path means; None: `checkpoint_prefix`.

    Raises:
      ValueError: `mmap` has another value.
      CheckpointNotFoundError: There is nothing at `path`; names the other checkpoints there.
      CheckpointCorruptError, CheckpointUnsupportedError: It cannot be read.
    """
    check_mapped(mmap)
    options = OpenOptions(mmap, verifier, damaged)
    return open_named(path, lambda prefix: _open(prefix, options), find)


def _open(path: str, options: OpenOptions) -> CheckpointReader:
    if options.verifier is not None:
        # Read nothing of a file that cannot be signed: with a key, only signed bytes are trusted.
        refuse_unsigned(path)
        return open_checkpoint(path, mmap=options.mmap, verifier=options.verifier)
    candidate = Candidate(path, default_storage())
    for known in FORMATS:
        if known.matches(candidate):
            return known.open(candidate, options)
    if candidate.is_file:
        for known in FORMATS:
            if path.endswith(known.endings):
                return known.open(candidate, options)
        other = other_kind(candidate.start)
        if other is not None:
            raise CheckpointUnsupportedError(f"this is {other}", path=path)
    return open_checkpoint(path)  # raises the error: no file, or a file of an unknown format


def refuse_unsigned(path: str | os.PathLike[str]) -> None:
    """Checks that a path for which a key was given is not that of a single file.

    Raises:
      CheckpointUnsupportedError: It is; only bundles have manifests.
    """
    name = given_path(path)
    storage = default_storage()
    if not storage.exists(name) or storage.is_directory(name):
        return
    if not storage.exists(index_path(name)) and prefix_of_index(name) is None:
        raise CheckpointUnsupportedError(
            "a single file (of tensors, or of TensorFlow before 0.12) has no manifest, so no key "
            "says who wrote it",
            path=name,
        )


def require_bundle(reader: CheckpointReader, v1: str, tensors: str) -> BundleReader:
    """Returns a reader that must be one of a bundle, for changes of its files.

    Args:
      reader: Any reader.
      v1: The advice for a V1 checkpoint, for the message.
      tensors: The advice for a tensor file.

    Raises:
      CheckpointUnsupportedError: It is a V1 checkpoint or a tensor file.
    """
    if isinstance(reader, BundleReader):
        return reader
    if reader.kind == "tensors":
        what = f"this is a file of tensors: {tensors}"
    else:
        what = f"a checkpoint of TensorFlow before 0.12 (V1) {v1}"
    raise CheckpointUnsupportedError(what, path=reader.prefix)


def verifier_of_option(trusted_key: Key | None, verify: Verify = True) -> Verifier | None:
    """Returns the verifier for an option `trusted_key=`; None if no key was given.

    Raises:
      ValueError, TypeError: `trusted_key` is not a key, or `verify` leaves out checks.
    """
    if trusted_key is None:
        return None
    if verify is not True:
        raise ValueError(
            f"verify={verify!r} leaves out checks that trusted_key= needs: leave out verify= or "
            "trusted_key="
        )
    return verifier_of(trusted_key)
