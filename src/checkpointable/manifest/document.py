"""Encodes and decodes manifests: JSON in a canonical form, checked step by step when it is read.

    {"statement": {…}, "chunks": ["…", …], "signature": "…", "sha256": "…"}

`statement` is signed: names, sizes and root hashes. `chunks` has the hashes from which the roots
are computed, and `sha256` is a checksum of the other three. A manifest that has been read is
encoded again and must give the same bytes. So each manifest has only one form, and nothing can be
hidden in it, such as a name that occurs twice.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn

from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.manifest.format import (
    ALGORITHMS,
    CHUNK_SIZE_MAX,
    CHUNK_SIZE_MIN,
    HASH_SIZE,
    KIND,
    MANIFEST_SIZE_MAX,
    SIGNATURE_SIZES,
    TREE,
    VERSION,
    chunk_count,
)
from checkpointable.manifest.keys import Signer
from checkpointable.manifest.tree import root_hash

__all__ = ["FileHashes", "Manifest", "decode_manifest", "encode_manifest", "signed_manifest"]

_PARTS = ["statement", "chunks", "signature", "sha256"]
_FIELDS = [
    *("kind", "version", "writer", "checkpoint", "tree", "chunk_size", "algorithm", "key_id"),
    "files",
]
_FILE_FIELDS = ["name", "size", "root"]
_HEX = re.compile(r"[0-9a-f]*", re.ASCII)
_SIZE_MAX = 2**63 - 1


class FileHashes(NamedTuple):
    """The hashes of a file.

    Attributes:
      name: The name of the file, without the directory.
      size: Its size, in bytes.
      leaves: The concatenated hashes of its chunks.
    """

    name: str
    size: int
    leaves: bytes


@dataclass(frozen=True)
class Manifest:
    """The contents of a manifest.

    Attributes:
      checkpoint: The checkpoint prefix, without the directory.
      writer: The program that wrote it.
      chunk_size: The size of a chunk in bytes; the last chunk of a file may be smaller.
      files: The index, then the data files in the order of their numbers.
      algorithm: The algorithm of the signature.
      key_id: An identifier of the signing key.
      signature: The signature of `statement`.
    """

    checkpoint: str
    writer: str
    chunk_size: int
    files: tuple[FileHashes, ...]
    algorithm: str
    key_id: str
    signature: bytes = b""

    @property
    def statement(self) -> bytes:
        """The bytes that are signed."""
        return _dump(_statement(self))

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the statement, which differs between checkpoints."""
        return hashlib.sha256(self.statement).hexdigest()


def signed_manifest(manifest: Manifest, signer: Signer) -> Manifest:
    """Returns the manifest with the signature of `signer`."""
    named = replace(manifest, algorithm=signer.algorithm, key_id=signer.key_id)
    return replace(named, signature=signer.sign(named.statement))


def encode_manifest(manifest: Manifest) -> bytes:
    """Returns the contents of the manifest file.

    Raises:
      CheckpointUnsupportedError: It would be larger than the maximum that is read.
    """
    document = {
        "statement": _statement(manifest),
        "chunks": [file.leaves.hex() for file in manifest.files],
        "signature": manifest.signature.hex(),
    }
    data = _dump(document | {"sha256": hashlib.sha256(_dump(document)).hexdigest()}) + b"\n"
    if len(data) > MANIFEST_SIZE_MAX:
        raise CheckpointUnsupportedError(
            f"the manifest of {manifest.checkpoint!r} would have {len(data)} bytes, but at most "
            f"{MANIFEST_SIZE_MAX} are allowed"
        )
    return data


def decode_manifest(data: bytes, path: str) -> Manifest:
    """Decodes the contents of a manifest file. The signature is not verified.

    Raises:
      CheckpointCorruptError: The manifest is damaged, or not a manifest.
      CheckpointUnsupportedError: It has a later version.
    """
    if len(data) > MANIFEST_SIZE_MAX:
        _refuse(path, f"it has {len(data)} bytes, but at most {MANIFEST_SIZE_MAX} are allowed")
    try:
        document = json.loads(data.decode("ascii"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        _refuse(path, f"byte {error.start} is not ASCII", error.start)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"it is not JSON: {error}")
    if not isinstance(document, dict) or not isinstance(document.get("statement"), dict):
        _refuse(path, "it has no statement")
    statement = document["statement"]
    if statement.get("kind") != KIND:
        _refuse(path, f"its kind is not {KIND!r}")
    if statement.get("version") != VERSION:
        raise CheckpointUnsupportedError(
            f"the manifest is of version {statement.get('version')!r:.40}; this program knows "
            f"version {VERSION}",
            path=path,
        )
    _check_fields(document, _PARTS, "the document", path)
    _check_fields(statement, _FIELDS, "the statement", path)
    manifest = Manifest(
        checkpoint=_text(statement, "checkpoint", path),
        writer=_text(statement, "writer", path),
        chunk_size=_chunk_size(statement["chunk_size"], path),
        files=(),
        algorithm=_text(statement, "algorithm", path),
        key_id=_text(statement, "key_id", path),
        signature=_bytes(document["signature"], "the signature", path),
    )
    if statement["tree"] != TREE:
        _refuse(path, f"the tree {statement['tree']!r:.40} is not {TREE!r}")
    if manifest.algorithm not in ALGORITHMS:
        _refuse(path, f"the algorithm {manifest.algorithm!r:.40} is none of {ALGORITHMS}")
    wanted = SIGNATURE_SIZES[manifest.algorithm]
    if len(manifest.signature) != wanted:
        _refuse(
            path,
            f"the signature has {len(manifest.signature)} bytes; one of {manifest.algorithm} "
            f"has {wanted}",
        )
    manifest = replace(
        manifest, files=_files(statement["files"], document["chunks"], manifest.chunk_size, path)
    )
    _check_form(manifest, data, path)
    return manifest


def _check_form(manifest: Manifest, data: bytes, path: str) -> None:
    """Checks that the bytes are the canonical form of the manifest."""
    expected = encode_manifest(manifest)
    if not hmac.compare_digest(expected, data):
        pairs = enumerate(zip(expected, data, strict=False))
        start = next((at for at, (a, b) in pairs if a != b), min(len(expected), len(data)))
        _refuse(path, "one of its hashes is wrong, or it is not in the canonical form", start)


def _files(items: Any, chunks: Any, chunk_size: int, path: str) -> tuple[FileHashes, ...]:
    if not isinstance(items, list) or not isinstance(chunks, list) or len(items) != len(chunks):
        _refuse(path, "files and chunks are not lists of the same length")
    files = []
    for number, (item, leaves) in enumerate(zip(items, chunks, strict=True)):
        if not isinstance(item, dict):
            _refuse(path, f"file {number} is not an object")
        _check_fields(item, _FILE_FIELDS, f"file {number}", path)
        size = item["size"]
        if type(size) is not int or not 0 <= size <= _SIZE_MAX:
            _refuse(path, f"file {number} has the size {size!r:.40}")
        name = _text(item, "name", path)
        hashes = _bytes(leaves, f"the list of chunks of file {number}", path)
        wanted = chunk_count(size, chunk_size)
        if len(hashes) != wanted * HASH_SIZE:
            _refuse(
                path,
                f"file {number} has {len(hashes)} bytes of hashes; {size} bytes in chunks of "
                f"{chunk_size} have {wanted} hashes of {HASH_SIZE}",
            )
        files.append(FileHashes(name, size, hashes))
    return tuple(files)


def _statement(manifest: Manifest) -> dict[str, Any]:
    return {
        "kind": KIND,
        "version": VERSION,
        "writer": manifest.writer,
        "checkpoint": manifest.checkpoint,
        "tree": TREE,
        "chunk_size": manifest.chunk_size,
        "algorithm": manifest.algorithm,
        "key_id": manifest.key_id,
        "files": [
            {"name": file.name, "size": file.size, "root": root_hash(file.leaves).hex()}
            for file in manifest.files
        ],
    }


def _dump(document: Any) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False).encode("ascii")


def _check_fields(fields: dict[str, Any], wanted: list[str], what: str, path: str) -> None:
    if list(fields) != wanted:
        _refuse(path, f"{what} has the fields {list(fields)[:12]!r:.200}, not {wanted}")


def _text(fields: dict[str, Any], name: str, path: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        _refuse(path, f"{name} is {value!r:.40}, not text")
    return value


def _chunk_size(value: Any, path: str) -> int:
    if type(value) is not int or not CHUNK_SIZE_MIN <= value <= CHUNK_SIZE_MAX:
        _refuse(
            path, f"the chunk size {value!r:.40} is not from {CHUNK_SIZE_MIN} to {CHUNK_SIZE_MAX}"
        )
    if value & (value - 1):
        _refuse(path, f"the chunk size {value} is not a power of two")
    return value


def _bytes(value: Any, what: str, path: str) -> bytes:
    if not isinstance(value, str) or len(value) % 2 or not _HEX.fullmatch(value):
        _refuse(path, f"{what} is not hexadecimal")
    return bytes.fromhex(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"a manifest cannot contain the number {name}")


def _refuse(path: str, what: str, offset: int | None = None) -> NoReturn:
    raise CheckpointCorruptError(f"the manifest cannot be used: {what}", path=path, offset=offset)
