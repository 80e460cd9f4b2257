"""Manifests: SHA-256 hashes of the files of a checkpoint, with a signature; see docs/format.md."""

from __future__ import annotations

from checkpointable.manifest.document import FileHashes as FileHashes
from checkpointable.manifest.document import Manifest as Manifest
from checkpointable.manifest.document import decode_manifest as decode_manifest
from checkpointable.manifest.document import encode_manifest as encode_manifest
from checkpointable.manifest.document import signed_manifest as signed_manifest
from checkpointable.manifest.format import is_manifest_name as is_manifest_name
from checkpointable.manifest.format import manifest_path as manifest_path
from checkpointable.manifest.keys import Key as Key
from checkpointable.manifest.keys import Signer as Signer
from checkpointable.manifest.keys import Verifier as Verifier
from checkpointable.manifest.keys import read_key_file as read_key_file
from checkpointable.manifest.keys import signer_of as signer_of
from checkpointable.manifest.keys import verifier_of as verifier_of

__all__ = [
    "FileHashes",
    "Key",
    "Manifest",
    "Signer",
    "Verifier",
    "decode_manifest",
    "encode_manifest",
    "is_manifest_name",
    "manifest_path",
    "read_key_file",
    "signed_manifest",
    "signer_of",
    "verifier_of",
]
