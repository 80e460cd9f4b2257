"""Finds, reads and verifies the manifest that belongs to an index."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from checkpointable.bundle.format import index_path, split_prefix
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointNotFoundError,
    CheckpointSignatureError,
)
from checkpointable.manifest import (
    FileHashes,
    Manifest,
    Verifier,
    decode_manifest,
    is_manifest_name,
    manifest_path,
)
from checkpointable.manifest.format import MANIFEST_SIZE_MAX, UNSIGNED
from checkpointable.manifest.tree import leaf_hashes
from checkpointable.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["hashes_of_data", "load_manifest", "manifests_of"]


def manifests_of(prefix: str, storage: Storage) -> list[str]:
    """Returns the paths of all manifests of a prefix, including those of earlier indexes."""
    directory, base = split_prefix(prefix)
    names = storage.list(directory)
    return [os.path.join(directory, name) for name in names if is_manifest_name(name, base)]


def load_manifest(prefix: str, index: bytes, storage: Storage, verifier: Verifier) -> Manifest:
    """Returns the manifest of a checkpoint, verified together with the index.

    The signature is valid, and the manifest belongs to this prefix and this index. The data files
    have not been verified yet.

    Args:
      prefix: The checkpoint prefix.
      index: The contents of the index file.
      storage: Where to read.
      verifier: The trusted key.

    Raises:
      CheckpointSignatureError: There is no manifest, or its signature is not of this key.
      CheckpointCorruptError: The manifest is damaged, or the index differs from it.
      CheckpointUnsupportedError: The manifest has a later version.
    """
    path = manifest_path(prefix, index)
    try:
        file = storage.open(path)
    except CheckpointNotFoundError:
        raise CheckpointSignatureError(_missing(prefix, storage), path=prefix) from None
    with file:
        if file.size > MANIFEST_SIZE_MAX:
            raise CheckpointCorruptError(
                f"the manifest cannot be used: it has {file.size} bytes, but at "
                f"most {MANIFEST_SIZE_MAX} are allowed",
                path=path,
            )
        manifest = decode_manifest(file.read(0, file.size), path)
    _check_signature(manifest, verifier, path)
    base = split_prefix(prefix)[1]
    if manifest.checkpoint != base:
        raise CheckpointSignatureError(
            f"the manifest is for the checkpoint {manifest.checkpoint!r:.200}, but belongs to the "
            f"files of {base!r}: files were renamed, or replaced by others",
            path=path,
        )
    hashes = manifest.files[0] if manifest.files else None
    name = index_path(base)
    if hashes is None or hashes != FileHashes(
        name, len(index), leaf_hashes(index, manifest.chunk_size)
    ):
        raise CheckpointCorruptError(
            "the index is not the one in the manifest", path=index_path(prefix)
        )
    return manifest


def hashes_of_data(manifest: Manifest, paths: Iterable[str], where: str) -> list[FileHashes]:
    """Returns the hashes in a manifest of the data files of an index.

    Args:
      manifest: The manifest.
      paths: The paths of the data files.
      where: The checkpoint prefix, for errors.

    Returns:
      The hashes, in the order of `paths`.

    Raises:
      CheckpointCorruptError: The manifest lists other data files.
    """
    expected = list(map(os.path.basename, paths))
    listed = [file.name for file in manifest.files[1:]]
    if listed != expected:
        raise CheckpointCorruptError(
            f"the manifest lists the data files {listed[:10]!r:.400}, but the index "
            f"{expected[:10]!r:.400}",
            path=where,
        )
    return list(manifest.files[1:])


def _check_signature(manifest: Manifest, verifier: Verifier, path: str) -> None:
    """Checks the signature of a manifest.

    Raises:
      CheckpointSignatureError: It is not a valid signature of this key.
    """
    if verifier.algorithm is None:
        return
    if manifest.algorithm == UNSIGNED:
        raise CheckpointSignatureError("the manifest is not signed", path=path)
    if manifest.algorithm != verifier.algorithm:
        raise CheckpointSignatureError(
            f"the manifest is signed with {manifest.algorithm}, but the trusted key is for "
            f"{verifier.algorithm}",
            path=path,
        )
    if verifier.holds(manifest.statement, manifest.signature):
        return
    if manifest.key_id != verifier.key_id:
        raise CheckpointSignatureError(
            f"the manifest is signed with another key ({manifest.key_id:.40}) than the trusted one "
            f"({verifier.key_id})",
            path=path,
        )
    raise CheckpointSignatureError(
        "the signature is not valid: the manifest was changed by someone without the key",
        path=path,
    )


def _missing(prefix: str, storage: Storage) -> str:
    others = [os.path.basename(path) for path in manifests_of(prefix, storage)]
    what = "no manifest belongs to this checkpoint, so nothing proves who wrote it"
    if others:
        what += (
            f"; {', '.join(map(repr, others[:3]))} is that of another index: the checkpoint was "
            "written again without one, or its index was changed"
        )
    return f"{what}. cp.write_manifest makes one, or save(sign_with=…)"
