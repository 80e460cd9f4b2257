"""The manifest that belongs to an index: found, read, and judged by a key."""

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
    """The paths of all manifests of a prefix, those of earlier indexes included."""
    directory, base = split_prefix(prefix)
    names = storage.list(directory)
    return [os.path.join(directory, name) for name in names if is_manifest_name(name, base)]


def load_manifest(prefix: str, index: bytes, storage: Storage, verifier: Verifier) -> Manifest:
    """The manifest of a checkpoint whose index file has these contents.

    When this returns, its signature holds, it is that of this prefix, and the index is the one
    that it means; of the data files nothing is known yet.

    Raises:
      CheckpointSignatureError: there is none, or none that the key vouches for.
      CheckpointCorruptError: it is damaged, or the index is not the one that it means.
      CheckpointUnsupportedError: one of a later version.
    """
    path = manifest_path(prefix, index)
    try:
        file = storage.open(path)
    except CheckpointNotFoundError:
        raise CheckpointSignatureError(_missing(prefix, storage), path=prefix) from None
    with file:
        if file.size > MANIFEST_SIZE_MAX:
            raise CheckpointCorruptError(
                f"the manifest cannot be used: it has {file.size} bytes, and {MANIFEST_SIZE_MAX} "
                "are allowed",
                path=path,
            )
        manifest = decode_manifest(file.read(0, file.size), path)
    _check_signature(manifest, verifier, path)
    base = split_prefix(prefix)[1]
    if manifest.checkpoint != base:
        raise CheckpointSignatureError(
            f"the manifest is that of the checkpoint {manifest.checkpoint!r:.200}, but lies beside "
            f"{base!r}: its files were renamed, or put in the place of others",
            path=path,
        )
    hashes = manifest.files[0] if manifest.files else None
    name = index_path(base)
    if hashes is None or hashes != FileHashes(
        name, len(index), leaf_hashes(index, manifest.chunk_size)
    ):
        raise CheckpointCorruptError(
            "the index is not the one that the manifest means", path=index_path(prefix)
        )
    return manifest


def hashes_of_data(manifest: Manifest, paths: Iterable[str], where: str) -> list[FileHashes]:
    """What a manifest has of the data files of an index, which are at `paths`, in their order.

    Raises:
      CheckpointCorruptError: it has others.
    """
    wanted = list(map(os.path.basename, paths))
    found = [file.name for file in manifest.files[1:]]
    if found != wanted:
        raise CheckpointCorruptError(
            f"the manifest has the data files {found[:10]!r:.400}, but the index says "
            f"{wanted[:10]!r:.400}",
            path=where,
        )
    return list(manifest.files[1:])


def _check_signature(manifest: Manifest, verifier: Verifier, path: str) -> None:
    """Raises unless the manifest is signed, in the way of this key, and by it."""
    if verifier.algorithm is None:
        return
    if manifest.algorithm == UNSIGNED:
        raise CheckpointSignatureError("the manifest is not signed", path=path)
    if manifest.algorithm != verifier.algorithm:
        raise CheckpointSignatureError(
            f"the manifest is signed with {manifest.algorithm}, but the key is one for "
            f"{verifier.algorithm}",
            path=path,
        )
    if verifier.holds(manifest.statement, manifest.signature):
        return
    if manifest.key_id != verifier.key_id:
        raise CheckpointSignatureError(
            f"the manifest is signed with another key ({manifest.key_id:.40}) than the one given "
            f"({verifier.key_id})",
            path=path,
        )
    raise CheckpointSignatureError(
        "the signature does not hold: the manifest was changed by somebody without the key",
        path=path,
    )


def _missing(prefix: str, storage: Storage) -> str:
    others = [os.path.basename(path) for path in manifests_of(prefix, storage)]
    what = "no manifest belongs to this checkpoint, so nothing says who wrote it"
    if others:
        what += (
            f"; {', '.join(map(repr, others[:3]))} is that of another index: the checkpoint was "
            "written again without one, or its index was changed"
        )
    return f"{what}. cp.write_manifest makes one, or save(sign_with=…)"
