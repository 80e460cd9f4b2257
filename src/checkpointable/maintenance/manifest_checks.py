"""Compares a checkpoint with its manifest, and returns the result as data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from checkpointable.bundle import BundleReader, Damage
from checkpointable.bundle.opening import open_bundle
from checkpointable.bundle.reading.authenticated_file import AuthenticFile
from checkpointable.bundle.reading.signed import manifests_of
from checkpointable.bundle.reading.verify import damage_of_unused
from checkpointable.common.types import Progress
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointSignatureError,
    CheckpointUnsupportedError,
)
from checkpointable.manifest import Key, Manifest, verifier_of
from checkpointable.storage import default_storage

__all__ = ["ManifestCheck", "check_manifest", "check_manifest_if_any", "progress_over_files"]


class ManifestCheck(NamedTuple):
    """The result of a comparison of a checkpoint with its manifest.

    Attributes:
      manifest: The manifest; None if it cannot be used.
      damages: Where the files differ from it.
      problem: Why it cannot be used; None if it can.
    """

    manifest: Manifest | None
    damages: list[Damage]
    problem: CheckpointError | None

    @property
    def ok(self) -> bool:
        """Whether the files match the manifest, and the key signed it, if there is one."""
        return self.problem is None and not self.damages


def check_manifest(
    prefix: str, trusted_key: Key | None = None, progress: Progress | None = None
) -> ManifestCheck:
    """Compares every byte of a checkpoint's files with its manifest.

    Args:
      prefix: The checkpoint prefix.
      trusted_key: The key that must have signed the manifest; None: only hashes are compared.
      progress: Called with (bytes done, total bytes, file).

    Raises:
      ValueError, TypeError: `trusted_key` is not a key.
      CheckpointNotFoundError, CheckpointIOError: There is no checkpoint; the system refused.
    """
    verifier = verifier_of(trusted_key)
    storage = default_storage()
    try:
        with open_bundle(prefix, storage, damaged=True, verifier=verifier) as reader:
            files = reader.files
            assert files.manifest is not None
            damages = [
                Damage(path, None, 0, "the data file is missing")
                for shard, path in files.paths.items()
                if shard not in files.data
            ]
            damages += _differences(reader, progress)
            damages += damage_of_unused(files, storage)
            return ManifestCheck(files.manifest, damages, None)
    except (CheckpointSignatureError, CheckpointCorruptError, CheckpointUnsupportedError) as error:
        return ManifestCheck(None, [], error)


def check_manifest_if_any(prefix: str, progress: Progress | None = None) -> ManifestCheck | None:
    """Does the same as `check_manifest` without a key; returns None if there is no manifest.

    Raises:
      CheckpointNotFoundError, CheckpointIOError: As for `check_manifest`.
    """
    return check_manifest(prefix, None, progress) if _has_manifest(prefix) else None


def _has_manifest(prefix: str) -> bool:
    try:
        return bool(manifests_of(prefix, default_storage()))
    except CheckpointNotFoundError:
        return False  # the directory does not exist


def _differences(reader: BundleReader, progress: Progress | None) -> list[Damage]:
    files = reader.files
    advance = progress_over_files(sum(file.size for file in files.data.values()), progress)
    return [
        Damage(file.path, None, offset, what)
        for file in files.data.values()
        if isinstance(file, AuthenticFile)
        for offset, what in file.damage(partial(advance, file.path))
    ]


def progress_over_files(total: int, progress: Progress | None) -> Callable[[str, int], None]:
    """Returns a function of (path, new bytes) that passes the sum over all files to `progress`.

    Args:
      total: The bytes of all files.
      progress: Called with (bytes done, total bytes, file).
    """
    done = 0

    def advance(path: str, size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, total, path)

    return advance
