"""Writes and verifies manifests of existing checkpoints."""

from __future__ import annotations

import errno
import os
from functools import partial

from checkpointable.bundle import BundleReader
from checkpointable.bundle.format import index_path, split_prefix
from checkpointable.bundle.opening import open_bundle
from checkpointable.bundle.reading.signed import manifests_of
from checkpointable.bundle.writing.hashing import hash_file
from checkpointable.bundle.writing.writer import make_manifest
from checkpointable.common.deprecation import renamed_options
from checkpointable.common.types import Durability, Path, Progress
from checkpointable.directory.prefixes import checkpoint_prefix, open_named
from checkpointable.errors import CheckpointCorruptError, CheckpointIOError
from checkpointable.maintenance.manifest_checks import check_manifest, progress_over_files
from checkpointable.manifest import FileHashes, Key, manifest_path, signer_of
from checkpointable.manifest.format import chunk_size_for
from checkpointable.readers.opening import refuse_unsigned
from checkpointable.storage import (
    Storage,
    check_durability,
    default_storage,
    replace_file,
    takes_storage,
)

__all__ = ["verify_manifest", "write_manifest"]

_V1 = "can have no manifest; `checkpointable reencode` makes one that can"


@renamed_options(key="sign_with")
@takes_storage
def write_manifest(
    path: Path,
    sign_with: Key | None = None,
    *,
    durability: Durability = "fsync",
    progress: Progress | None = None,
    storage: Storage | None = None,
) -> str:
    """Writes a manifest for an existing checkpoint: SHA-256 hashes over its files, signed.

        cp.write_manifest("runs/a/ckpt-7", key)

    Every checksum is verified first, so that damage is not signed. (`save(…, sign_with=key)`
    reads nothing back, and publishes the manifest together with the checkpoint.) An existing
    manifest is replaced in one step. Manifests of earlier checkpoints of the same name are deleted.

    Args:
      path: A checkpoint prefix, an `.index` file, or a directory (its latest checkpoint).
      sign_with: The key that signs: a secret of at least 32 bytes (HMAC-SHA256), or an Ed25519
        private key as an object of `cryptography`, as PEM, or as the path of a PEM file. None: no
        signature.
      durability: "fsync" or "flush", as for `save`.
      progress: Called with (bytes done, total bytes, key or file); checksums come first.
      storage: Where the files are. None: the default storage, which `use_storage` sets.

    Returns:
      The path of the manifest.

    Raises:
      ValueError, TypeError: `sign_with` is not a key that signs.
      CheckpointCorruptError: The checkpoint is damaged; nothing was written.
      CheckpointUnsupportedError: A file of tensors, or a checkpoint of TensorFlow before 0.12
        (V1); or an Ed25519 key, and `cryptography` is not installed.
      CheckpointIOError: The system refused, or a save replaced the checkpoint meanwhile.
      CheckpointNotFoundError: There is no checkpoint.
    """
    signer = signer_of(True if sign_with is None else sign_with)
    assert signer is not None
    check_durability(durability)
    refuse_unsigned(path)
    prefix = checkpoint_prefix(path)
    storage = default_storage()
    with open_bundle(prefix, storage, v1=_V1) as reader:
        index = _index_of(reader)
        for damage in reader.verify(progress):
            raise CheckpointCorruptError(
                damage.what, path=damage.path, key=damage.key, offset=damage.offset
            )
        chunk_size = chunk_size_for(sum(file.size for file in reader.files.data.values()))
        data = _hashes_of(reader, chunk_size, progress)
    contents = make_manifest(prefix, index, data, chunk_size, signer)
    target = manifest_path(prefix, index)
    with storage.lock_directory(split_prefix(prefix)[0]):
        if storage.identity(index_path(prefix)) != reader.files.index_identity:
            raise _replaced_meanwhile(prefix)
        replace_file(storage, target, contents, durability)
        for other in manifests_of(prefix, storage):
            if os.path.basename(other) != os.path.basename(target):
                storage.delete(other)
    return target


@renamed_options(key="trusted_key")
@takes_storage
def verify_manifest(
    path: Path,
    trusted_key: Key | None = None,
    *,
    progress: Progress | None = None,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> str:
    """Compares every byte of a checkpoint's files with its manifest.

        cp.verify_manifest("runs/a/ckpt-7", key)

    Args:
      path: A checkpoint prefix, an `.index` file, or a directory (its latest checkpoint).
      trusted_key: The key that must have signed the manifest; an Ed25519 public key will do. None:
        only hashes are compared, which does not show who wrote the files.
      progress: Called with (bytes done, total bytes, file).
      storage: Where the files are. None: the default storage, which `use_storage` sets.

    Returns:
      The manifest's fingerprint in hexadecimal: a SHA-256 hash of the whole checkpoint, its name
      and its signer. Stored elsewhere, it distinguishes this checkpoint from an older one that the
      same key signed.

    Raises:
      CheckpointSignatureError: There is no manifest, or none that `trusted_key` signed.
      CheckpointCorruptError: The first place where a file differs from the manifest.
      ValueError, TypeError: `trusted_key` is not a key.
      CheckpointUnsupportedError, CheckpointNotFoundError, CheckpointIOError
    """
    refuse_unsigned(path)
    check = open_named(path, lambda prefix: check_manifest(prefix, trusted_key, progress))
    if check.problem is not None:
        raise check.problem
    for damage in check.damages:
        raise CheckpointCorruptError(damage.what, path=damage.path, offset=damage.offset)
    assert check.manifest is not None
    return check.manifest.fingerprint


def _index_of(reader: BundleReader) -> bytes:
    """Returns the contents of the index file that a reader opened.

    Raises:
      CheckpointIOError: A save has replaced the file.
    """
    with default_storage().open(index_path(reader.prefix)) as file:
        if file.identity != reader.files.index_identity:
            raise _replaced_meanwhile(reader.prefix)
        return file.read(0, file.size)


def _replaced_meanwhile(prefix: str) -> CheckpointIOError:
    return CheckpointIOError(
        "a save replaced the checkpoint while its manifest was written: write it again, or save "
        "with sign_with=",
        path=prefix,
        errno=errno.EBUSY,
    )


def _hashes_of(
    reader: BundleReader, chunk_size: int, progress: Progress | None
) -> list[FileHashes]:
    files = reader.files
    advance = progress_over_files(sum(file.size for file in files.data.values()), progress)
    return [
        FileHashes(
            os.path.basename(path),
            files.data[shard].size,
            hash_file(files.data[shard], chunk_size, partial(advance, path)),
        )
        for shard, path in files.paths.items()
    ]
