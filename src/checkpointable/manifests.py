"""Making and verifying manifests of checkpoints that are there already."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from checkpointable.bundle import BundleReader, Damage
from checkpointable.bundle.authentic import AuthenticFile
from checkpointable.bundle.format import index_path, split_prefix
from checkpointable.bundle.hashing import hash_file
from checkpointable.bundle.opening import open_checkpoint
from checkpointable.bundle.signed import manifests_of
from checkpointable.bundle.v1 import V1Reader
from checkpointable.bundle.writer import make_manifest
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIOError,
    CheckpointNotFoundError,
    CheckpointSignatureError,
    CheckpointUnsupportedError,
)
from checkpointable.management import checkpoint_prefix
from checkpointable.manifest import (
    FileHashes,
    Key,
    Manifest,
    manifest_path,
    signer_of,
    verifier_of,
)
from checkpointable.manifest.format import base_of_manifest, chunk_size_for
from checkpointable.opening import refuse_foreign
from checkpointable.saving import Durability, Path, Progress
from checkpointable.storage import check_durability, default_storage, replace_file

__all__ = [
    "Judged",
    "judge_manifest",
    "look_at_manifest",
    "stray_manifests",
    "verify_manifest",
    "write_manifest",
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


def write_manifest(
    path: Path,
    key: Key | None = None,
    *,
    durability: Durability = "fsync",
    progress: Progress | None = None,
) -> str:
    """Writes a manifest for a checkpoint that is there: SHA-256 over its files, signed.

        cp.write_manifest("runs/a/ckpt-7", key)

    Every checksum is verified first, so that no damage is sealed. (`save(…, manifest=key)` does
    without reading anything back, and has the manifest there from the first instant.) One that
    the checkpoint has already is replaced, in one step; ones of earlier checkpoints of the same
    name are removed.

    Args:
      path: a prefix, an `.index` file, or a directory (its latest checkpoint).
      key: a secret of 32 bytes or more (HMAC-SHA256), or an Ed25519 private key: of
        `cryptography`, in PEM, or the path of a PEM file. None: no signature.
      durability: "fsync" or "flush", as for `save`.
      progress: called with (bytes done, bytes in all, key or file), checksums first.

    Returns:
      The path of the manifest.

    Raises:
      ValueError, TypeError: `key` is no key to sign with.
      CheckpointCorruptError: the checkpoint is damaged; nothing was written.
      CheckpointUnsupportedError: a file of tensors, or one of TensorFlow before 0.12 (V1); an
        Ed25519 key, and `cryptography` is not installed.
      CheckpointIOError: the system refused, or a save replaced the checkpoint meanwhile.
      CheckpointNotFoundError: there is no checkpoint.
    """
    signer = signer_of(True if key is None else key)
    assert signer is not None
    check_durability(durability)
    refuse_foreign(path)
    prefix = checkpoint_prefix(path)
    storage = default_storage()
    with open_checkpoint(prefix, storage) as reader:
        if isinstance(reader, V1Reader):
            raise CheckpointUnsupportedError(
                "a checkpoint of TensorFlow before 0.12 (V1) can have no manifest; "
                "`checkpointable reencode` makes one that can",
                path=prefix,
            )
        index = _index_of(reader)
        for damage in reader.verify(progress):
            raise CheckpointCorruptError(
                damage.what, path=damage.path, key=damage.key, offset=damage.offset
            )
        chunk_size = chunk_size_for(sum(file.size for file in reader._files.data.values()))
        data = _hashes_of(reader, chunk_size, progress)
    contents = make_manifest(prefix, index, data, chunk_size, signer)
    target = manifest_path(prefix, index)
    with storage.lock_directory(split_prefix(prefix)[0]):
        if storage.identity(index_path(prefix)) != reader._files.index_identity:
            raise _overtaken(prefix)
        replace_file(storage, target, contents, durability)
        for other in manifests_of(prefix, storage):
            if os.path.basename(other) != os.path.basename(target):
                storage.delete(other)
    return target


def verify_manifest(path: Path, key: Key | None = None, *, progress: Progress | None = None) -> str:
    """Compares a checkpoint's files, every byte, with its manifest.

        cp.verify_manifest("runs/a/ckpt-7", key)

    Args:
      path: a prefix, an `.index` file, or a directory (its latest checkpoint).
      key: which must have signed it; an Ed25519 public key will do. None: hashes alone are
        compared, which says nothing of who wrote the files.
      progress: called with (bytes done, bytes in all, file).

    Returns:
      The manifest's fingerprint: a SHA-256 that stands for the whole checkpoint, its name and
      its signer, in hexadecimal. Kept elsewhere, it tells this checkpoint from an older one that
      the key signed too.

    Raises:
      CheckpointSignatureError: there is no manifest, or none that `key` signed.
      CheckpointCorruptError: the first place where a file is not as the manifest says.
      ValueError, TypeError: `key` is no key.
      CheckpointUnsupportedError, CheckpointNotFoundError, CheckpointIOError
    """
    refuse_foreign(path)
    judged = judge_manifest(checkpoint_prefix(path), key, progress)
    if judged.problem is not None:
        raise judged.problem
    for damage in judged.damages:
        raise CheckpointCorruptError(damage.what, path=damage.path, offset=damage.offset)
    assert judged.manifest is not None
    return judged.manifest.fingerprint


def judge_manifest(prefix: str, key: Key | None = None, progress: Progress | None = None) -> Judged:
    """All that is to be said of a checkpoint's manifest, as data.

    Raises:
      ValueError, TypeError: `key` is no key.
      CheckpointNotFoundError, CheckpointIOError: there is no checkpoint; the system refused.
    """
    verifier = verifier_of(key)
    storage = default_storage()
    try:
        with open_checkpoint(prefix, storage, damaged=True, verifier=verifier) as reader:
            files = reader._files
            assert files.manifest is not None
            damages = [
                Damage(path, None, 0, "the data file is missing")
                for shard, path in files.paths.items()
                if shard not in files.data
            ]
            damages += _differences(reader, progress)
            for path in files.unused(storage):
                identity = storage.identity(path)
                if identity is not None and identity.size:
                    what = f"the file has {identity.size} bytes, but no value is in it"
                    damages.append(Damage(path, None, 0, what))
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


def _index_of(reader: BundleReader) -> bytes:
    """The contents of the index file that a reader has read."""
    with default_storage().open(index_path(reader.prefix)) as file:
        if file.identity != reader._files.index_identity:
            raise _overtaken(reader.prefix)
        return file.read(0, file.size)


def _overtaken(prefix: str) -> CheckpointIOError:
    return CheckpointIOError(
        "a save replaced the checkpoint while its manifest was made: make it again, or save with "
        "manifest=",
        path=prefix,
        errno=errno.EBUSY,
    )


def _hashes_of(
    reader: BundleReader, chunk_size: int, progress: Progress | None
) -> list[FileHashes]:
    files = reader._files
    advance = _counter(sum(file.size for file in files.data.values()), progress)
    return [
        FileHashes(
            os.path.basename(path),
            files.data[shard].size,
            hash_file(files.data[shard], chunk_size, partial(advance, path)),
        )
        for shard, path in files.paths.items()
    ]


def _differences(reader: BundleReader, progress: Progress | None) -> list[Damage]:
    files = reader._files
    advance = _counter(sum(file.size for file in files.data.values()), progress)
    return [
        Damage(file.path, None, offset, what)
        for file in files.data.values()
        if isinstance(file, AuthenticFile)
        for offset, what in file.damage(partial(advance, file.path))
    ]


def _counter(total: int, progress: Progress | None) -> Callable[[str, int], None]:
    done = 0

    def advance(path: str, size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, total, path)

    return advance
