"""What is to be said of the manifests that lie beside checkpoints, as data."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from checkpointable.bundle import BundleReader, Damage
from checkpointable.bundle.format import index_path
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
from checkpointable.manifest import Key, Manifest, manifest_path, verifier_of
from checkpointable.manifest.format import base_of_manifest
from checkpointable.storage import default_storage

__all__ = [
    "Judged",
    "adding_up",
    "judge_manifest",
    "look_at_manifest",
    "stray_manifests",
]


class Judged(NamedTuple):
    """What became of a look at a checkpoint's manifest.

    Attributes:
      manifest: what it says; None where it could not be used.
      damages: where the files differ from it.
      problem: why it could not be used; None if it could.
    """

    manifest: Manifest | None
    damages: list[Damage]
    problem: CheckpointError | None

    @property
    def holds(self) -> bool:
        """Whether the files are what the manifest says, and the key, if any, signed it."""
        return self.problem is None and not self.damages


def judge_manifest(prefix: str, key: Key | None = None, progress: Progress | None = None) -> Judged:
    """All that is to be said of a checkpoint's manifest, as data.

    Raises:
      ValueError, TypeError: `key` is no key.
      CheckpointNotFoundError, CheckpointIOError: there is no checkpoint; the system refused.
    """
    verifier = verifier_of(key)
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
            return Judged(files.manifest, damages, None)
    except (CheckpointSignatureError, CheckpointCorruptError, CheckpointUnsupportedError) as error:
        return Judged(None, [], error)


def look_at_manifest(prefix: str, progress: Progress | None = None) -> Judged | None:
    """What is to be said of a checkpoint's manifest without its key; None if it has none.

    Raises:
      CheckpointNotFoundError, CheckpointIOError: as `judge_manifest`.
    """
    return judge_manifest(prefix, None, progress) if _manifests_beside(prefix) else None


def stray_manifests(directory: str, names: list[str]) -> list[str]:
    """Of the names in a directory, those of manifests that belong to no checkpoint there.

    They are left by a save or a deletion that was broken off, and by programs that know nothing
    of manifests.
    """
    strays = []
    for name in names:
        base = base_of_manifest(name)
        if base is None:
            continue
        prefix = os.path.join(directory, base)
        try:
            with default_storage().open(index_path(prefix)) as file:
                own = manifest_path(prefix, file.read(0, file.size))
        except CheckpointNotFoundError:
            own = None
        except CheckpointError:
            continue  # nothing is known of whose it is
        if own is None or os.path.basename(own) != name:
            strays.append(name)
    return strays


def _manifests_beside(prefix: str) -> list[str]:
    try:
        return manifests_of(prefix, default_storage())
    except CheckpointNotFoundError:
        return []  # not even the directory is there


def _differences(reader: BundleReader, progress: Progress | None) -> list[Damage]:
    files = reader.files
    advance = adding_up(sum(file.size for file in files.data.values()), progress)
    return [
        Damage(file.path, None, offset, what)
        for file in files.data.values()
        if isinstance(file, AuthenticFile)
        for offset, what in file.damage(partial(advance, file.path))
    ]


def adding_up(total: int, progress: Progress | None) -> Callable[[str, int], None]:
    """What to call with (path, bytes), file by file, so that `progress` gets their sum."""
    done = 0

    def advance(path: str, size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, total, path)

    return advance
