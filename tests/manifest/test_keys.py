"""The kind of a key decides on the algorithm, and no key is ever shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import checkpointable as cp
from checkpointable.manifest.keys import read_key_file, signer_of, verifier_of
from tests.manifest.helpers import (
    KEYS,
    OTHER_SECRET,
    PRIVATE,
    PUBLIC,
    SECRET,
    private_pem,
    public_pem,
)

FORMS = {
    "a key of cryptography": lambda _path: (PRIVATE, PUBLIC),
    "a private key that verifies": lambda _path: (PRIVATE, PRIVATE),
    "PEM": lambda _path: (private_pem(), public_pem()),
    "private PEM that verifies": lambda _path: (private_pem(), bytearray(private_pem())),
    "a path of PEM": lambda path: (
        _file(path / "k", private_pem()),
        _file(path / "p", public_pem()),
    ),
    "a secret": lambda _path: (SECRET, bytearray(SECRET)),
}


def _file(path, contents):
    path.write_bytes(contents)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_what_is_signed_is_verified(form, tmp_path):
    private, public = FORMS[form](tmp_path)
    signer, verifier = signer_of(private), verifier_of(public)
    signature = signer.sign(b"statement")
    assert verifier.holds(b"statement", signature)
    assert not verifier.holds(b"Statement", signature)
    assert not verifier.holds(b"statement", signature[:-1] + bytes((signature[-1] ^ 1,)))
    assert (signer.algorithm, signer.key_id) == (verifier.algorithm, verifier.key_id)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_signature_is_good_for_manifests_only(algorithm):
    """Domain separation: what the key signs elsewhere is no manifest, and the reverse."""
    signer = signer_of(KEYS[algorithm][0])
    if algorithm == "ed25519":
        elsewhere = PRIVATE.sign(b"statement")
    else:
        import hmac

        elsewhere = hmac.digest(SECRET, b"statement", "sha256")
    assert elsewhere != signer.sign(b"statement")
    assert not verifier_of(KEYS[algorithm][1]).holds(b"statement", elsewhere)


def test_signatures_are_the_same_each_time():
    for private, _ in KEYS.values():
        assert signer_of(private).sign(b"x") == signer_of(private).sign(b"x")


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_short_secret_is_refused(size):
    for of in (signer_of, verifier_of):
        with pytest.raises(ValueError, match=f"the secret has {size} bytes, which is too few"):
            of(bytes(size))


def test_a_public_key_does_not_sign():
    for key in (PUBLIC, public_pem()):
        with pytest.raises(ValueError, match="public key, which can only verify"):
            signer_of(key)


def test_pem_is_never_a_secret():
    """A public key that served as a secret would be one that everybody knows."""
    assert verifier_of(public_pem()).algorithm == "ed25519"
    for broken in (b"-----BEGIN PUBLIC KEY-----\n" + bytes(40), public_pem()[:-40]):
        for of in (signer_of, verifier_of):
            with pytest.raises(ValueError, match="this PEM does not contain a readable key"):
                of(broken)


def test_keys_of_other_kinds_are_refused():
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = rsa.generate_private_key(65537, 2048).public_key()
    public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for given in (pem, public_pem):
        with pytest.raises(
            ValueError, match=r"the key is of type .*, but an Ed25519 key is needed"
        ):
            verifier_of(given)
    with pytest.raises(TypeError, match=r"not ECPrivateKey"):
        verifier_of(curve)


def test_an_encrypted_key_says_what_to_do():
    how = BestAvailableEncryption(b"password")
    pem = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    with pytest.raises(ValueError, match="the private key is encrypted: load it with"):
        signer_of(pem)


@pytest.mark.parametrize(
    "given", ["a passphrase of some length, which is secret", 5, [SECRET]], ids=range(3)
)
def test_what_is_no_key_is_refused_and_not_shown(given):
    for of in (signer_of, verifier_of):
        with pytest.raises(TypeError, match="a key is a secret") as caught:
            of(given)
        assert "passphrase" not in str(caught.value)


def test_a_path_is_one_of_pem(tmp_path):
    with pytest.raises(
        ValueError, match="not an Ed25519 key in PEM format; a secret is given as bytes"
    ):
        signer_of(_file(tmp_path / "secret", SECRET))
    with pytest.raises(cp.CheckpointNotFoundError):
        signer_of(tmp_path / "nothing")
    with pytest.raises(ValueError, match="this is not a key: it has"):
        signer_of(_file(tmp_path / "large", bytes(65537)))


def test_key_files(tmp_path):
    secret, pem = _file(tmp_path / "s", SECRET), _file(tmp_path / "k", private_pem())
    public = _file(tmp_path / "p", public_pem())
    assert verifier_of(read_key_file(str(secret), public=False)).algorithm == "hmac-sha256"
    assert verifier_of(read_key_file(str(pem), public=False)).algorithm == "ed25519"
    assert verifier_of(read_key_file(str(public), public=True)).algorithm == "ed25519"
    with pytest.raises(ValueError, match="this is a private key, but a public key is needed"):
        read_key_file(str(pem), public=True)
    with pytest.raises(ValueError, match="not an Ed25519 public key in PEM format"):
        read_key_file(str(secret), public=True)
    ssh = _file(tmp_path / "ssh", PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    with pytest.raises(ValueError, match="public key of OpenSSH, neither PEM nor a secret"):
        read_key_file(str(ssh), public=False)


@pytest.mark.parametrize("key", [SECRET, PRIVATE], ids=["secret", "private"])
def test_no_key_is_shown(key, tmp_path, caplog):
    prefix = cp.Checkpoint(v=cp.Variable(1.0)).write(tmp_path / "c", sign_with=key)
    with pytest.raises(cp.CheckpointSignatureError) as caught:
        cp.verify_manifest(prefix, OTHER_SECRET)
    shown = [str(caught.value), repr(signer_of(key)), repr(verifier_of(key)), caplog.text]
    shown += [path.read_text("latin-1") for path in tmp_path.iterdir()]
    for secret in (SECRET, OTHER_SECRET):
        for text in shown:
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text


def test_key_ids_tell_keys_apart():
    ids = [verifier_of(key).key_id for key in (SECRET, OTHER_SECRET, PUBLIC)]
    assert len(set(ids)) == 3
    assert all(len(key_id) == 16 for key_id in ids)


MISSING = """
import sys
sys.modules["cryptography"] = None
import checkpointable as cp
c = cp.Checkpoint(v=cp.Variable(1.0))
path = c.write(sys.argv[1], sign_with=bytes(32))
c.read(path, trusted_key=bytes(32)).assert_consumed()
try:
    c.write(sys.argv[1], sign_with=b"-----BEGIN PRIVATE KEY-----")
except cp.CheckpointUnsupportedError as error:
    print(error)
"""


def test_without_cryptography_secrets_work_and_the_rest_says_what_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MISSING, str(tmp_path / "c")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'checkpointable[sign]'" in done.stdout


def test_the_extra_is_declared():
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'sign = ["cryptography' in project
