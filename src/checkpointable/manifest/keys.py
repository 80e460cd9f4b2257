"""Signing keys and trusted keys of manifests.

The type of the key determines the algorithm, never the manifest. A secret is `bytes` (HMAC-SHA256).
An Ed25519 key is an object of the package `cryptography`, or PEM. Bytes in PEM format are never
used as a secret, so that a public key cannot become one.
"""

from __future__ import annotations

import abc
import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Any

from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.manifest.format import DOMAIN, ED25519, HMAC_SHA256, UNSIGNED
from checkpointable.storage import default_storage, given_path

if TYPE_CHECKING:
    from typing import TypeAlias

    # A secret of 32 bytes or more; Ed25519 in PEM, as bytes or the path of a file; an
    # `Ed25519PrivateKey` or `Ed25519PublicKey`. (Type checkers do not need `cryptography`.)
    Key: TypeAlias = bytes | bytearray | os.PathLike[str] | Any
else:
    Key = Any

__all__ = ["Key", "Signer", "Verifier", "read_key_file", "signer_of", "verifier_of"]

_SECRET_MIN = 32  # the length of a SHA-256 hash; shorter secrets weaken HMAC (RFC 2104, section 3)
_PEM = b"-----BEGIN "
_KEY_FILE_MAX = 64 * 1024
_KEY_ID_SIZE = 8


class Verifier(abc.ABC):
    """Verifies signatures with a trusted key.

    Attributes:
      algorithm: The only algorithm that it accepts; None if it has no key and accepts everything.
      key_id: An identifier of the key for people, which reveals nothing about a secret.
    """

    algorithm: str | None
    key_id: str

    @abc.abstractmethod
    def holds(self, statement: bytes, signature: bytes) -> bool:
        """Returns whether the signature of the statement was made with this key."""


class Signer(abc.ABC):
    """Signs with a signing key; see `Verifier` for the attributes."""

    algorithm: str
    key_id: str

    @abc.abstractmethod
    def sign(self, statement: bytes) -> bytes:
        """Returns the signature of the statement."""


class _Nobody(Signer, Verifier):
    """Signs without a key: such manifests detect damage, but not forgery."""

    algorithm = UNSIGNED
    key_id = ""

    def sign(self, statement: bytes) -> bytes:
        return b""

    def holds(self, statement: bytes, signature: bytes) -> bool:
        raise AssertionError("nothing verifies with it")


class _AnyKey(_Nobody):
    algorithm = None  # type: ignore[assignment]


class _Secret(Signer, Verifier):
    algorithm = HMAC_SHA256

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _SECRET_MIN:
            raise ValueError(
                f"the secret has {len(secret)} bytes, which is too few: use {_SECRET_MIN} or more "
                "random bytes, such as secrets.token_bytes(32)"
            )
        self._secret = secret
        self.key_id = self._code(b"key id")[:_KEY_ID_SIZE].hex()

    def _code(self, message: bytes) -> bytes:
        return hmac.digest(self._secret, DOMAIN + message, "sha256")

    def sign(self, statement: bytes) -> bytes:
        return self._code(statement)

    def holds(self, statement: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self._code(statement), signature)


class _PublicKey(Verifier):
    algorithm = ED25519

    def __init__(self, key: Any) -> None:
        self._key = key
        self.key_id = _id_of_public_key(key)

    def holds(self, statement: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, DOMAIN + statement)
        except InvalidSignature:
            return False
        return True


class _PrivateKey(Signer):
    algorithm = ED25519

    def __init__(self, key: Any) -> None:
        self._key = key
        self.key_id = _id_of_public_key(key.public_key())

    def sign(self, statement: bytes) -> bytes:
        signature: bytes = self._key.sign(DOMAIN + statement)
        return signature


def signer_of(sign_with: bool | Key | None) -> Signer | None:
    """Returns the signer for the option `sign_with=`; None for no manifest.

    Args:
      sign_with: False or None: no manifest. True: a manifest without a signature. Otherwise the
        key that signs it.

    Raises:
      ValueError: The secret is too short, or the key is public or unusable.
      TypeError: `sign_with` is of another type.
      CheckpointUnsupportedError: The key is an Ed25519 key, and `cryptography` is not installed.
    """
    if sign_with is None or sign_with is False:
        return None
    if sign_with is True:
        return _Nobody()
    if isinstance(sign_with, Signer):
        return sign_with
    key = _key(sign_with)
    if isinstance(key, bytes):
        return _Secret(key)
    if not hasattr(key, "sign"):
        raise ValueError("this is a public key, which can only verify: sign with the private key")
    return _PrivateKey(key)


def verifier_of(key: Key | None) -> Verifier:
    """Returns the verifier for a trusted key; for None, one that accepts everything.

    A private key verifies like its public key.

    Raises:
      ValueError, TypeError, CheckpointUnsupportedError: As for `signer_of`.
    """
    if key is None:
        return _AnyKey()
    if isinstance(key, Verifier):
        return key
    trusted = _key(key)
    if isinstance(trusted, bytes):
        return _Secret(trusted)
    return _PublicKey(trusted.public_key() if hasattr(trusted, "sign") else trusted)


def read_key_file(path: str, *, public: bool) -> Key:
    """Reads a key from a file: Ed25519 in PEM, or a secret (unless `public`).

    Raises:
      ValueError: The file is not a public key although `public` is True, is a public key of
        OpenSSH, or is too large.
      CheckpointIOError, CheckpointNotFoundError: The file cannot be read.
    """
    contents = _contents_of(path)
    if contents.startswith(_PEM):
        if public and hasattr(_key_of_pem(contents), "sign"):
            raise ValueError(f"{path}: this is a private key, but a public key is needed")
        return contents
    if public:
        raise ValueError(f"{path}: this is not an Ed25519 public key in PEM format")
    # A public key that served as a secret would be a secret that everyone knows.
    if contents.startswith(b"ssh-"):
        raise ValueError(f"{path}: this is a public key of OpenSSH, neither PEM nor a secret")
    return contents


def _contents_of(path: str) -> bytes:
    with default_storage().open(path) as file:
        if file.size > _KEY_FILE_MAX:
            raise ValueError(f"{path}: this is not a key: it has {file.size} bytes")
        return bytes(file.read(0, file.size))


def _key(given: Any) -> Any:
    """Returns a secret as bytes, or a key of `cryptography`; errors never contain the key."""
    if isinstance(given, (bytes, bytearray)):
        contents = bytes(given)
        return _key_of_pem(contents) if contents.startswith(_PEM) else contents
    if isinstance(given, os.PathLike):
        path = given_path(given)
        contents = _contents_of(path)
        if not contents.startswith(_PEM):
            raise ValueError(
                f"{path}: this is not an Ed25519 key in PEM format; a secret is given as bytes "
                "(path.read_bytes())"
            )
        return _key_of_pem(contents)
    if type(given).__module__.partition(".")[0] == "cryptography" and _is_ed25519(given):
        return given
    raise TypeError(
        f"a key is a secret (bytes), or Ed25519: a key of `cryptography`, PEM (bytes), or a path "
        f"(pathlib.Path); not {type(given).__name__}"
    )


def _key_of_pem(contents: bytes) -> Any:
    _ed25519()  # raises an error that names the missing package
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_pem_public_key,
    )

    try:
        if b"PRIVATE" in contents.partition(b"\n")[0]:
            key: Any = load_pem_private_key(contents, password=None)
        else:
            key = load_pem_public_key(contents)
    except TypeError:
        raise ValueError(
            "the private key is encrypted: load it with cryptography's load_pem_private_key and "
            "pass the result"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("this PEM does not contain a readable key") from None
    if not _is_ed25519(key):
        raise ValueError(f"the key is of type {type(key).__name__}, but an Ed25519 key is needed")
    return key


def _is_ed25519(key: Any) -> bool:
    ed25519 = _ed25519()
    return isinstance(key, (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey))


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise CheckpointUnsupportedError(
            "Ed25519 signatures need the package cryptography, which is not installed: "
            "pip install 'checkpointable[sign]'. (A secret, HMAC-SHA256, needs no package.)"
        ) from None
    return ed25519


def _id_of_public_key(key: Any) -> str:
    return hashlib.sha256(key.public_bytes_raw()).digest()[:_KEY_ID_SIZE].hex()
