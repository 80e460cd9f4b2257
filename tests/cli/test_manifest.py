from __future__ import annotations

import json
import os

import numpy as np
import pytest

import checkpointable as cp
from tests.cli.helpers import call, document, output
from tests.manifest.helpers import (
    PUBLIC,
    SECRET,
    decoded,
    forge,
    manifest_of,
    private_pem,
    public_pem,
    read,
    write,
)

PRIVATE_KEY = ["--key-file", "k.pem"]
PUBLIC_KEY = ["--public-key", "p.pem"]
HMAC = ["--key-file", "secret"]


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """A checkpoint without a manifest; keys of both kinds lie in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k.pem").write_bytes(private_pem())
    (tmp_path / "p.pem").write_bytes(public_pem())
    (tmp_path / "secret").write_bytes(SECRET)
    path = cp.Checkpoint(kernel=cp.Variable(np.arange(50))).save("runs/a/ckpt")
    return os.fspath(path)


def failing(*arguments):
    result = call(*arguments)
    assert result.exit_code == 1, result.output
    return result.stdout + result.stderr


@pytest.mark.parametrize(
    ("sign", "verify", "signed"),
    [
        ([], [], "no signature"),
        (PRIVATE_KEY, PUBLIC_KEY, "ed25519, key "),
        (PRIVATE_KEY, PRIVATE_KEY, "ed25519, key "),
        (HMAC, HMAC, "hmac-sha256, key "),
    ],
)
def test_make_and_verify(prefix, sign, verify, signed):
    made = output("manifest", "runs/a", *sign)
    manifest = decoded(prefix)
    path = os.path.join("runs", "a", os.path.basename(manifest_of(prefix)))
    lines = [f"{path}: {signed}{manifest.key_id}", f"fingerprint {manifest.fingerprint}"]
    assert made.splitlines() == lines
    lines[0] = f"OK: {prefix}: {signed}{manifest.key_id}"
    assert output("manifest", prefix, "--verify", *verify).splitlines() == lines


def test_what_it_makes_python_takes(prefix):
    output("manifest", prefix, *PRIVATE_KEY)
    cp.verify_manifest(prefix, PUBLIC)
    output("manifest", prefix, *HMAC)
    cp.verify_manifest(prefix, SECRET)


def test_json(prefix):
    made = document("manifest", prefix, *PRIVATE_KEY)
    manifest = decoded(prefix)
    expected = {
        "checkpoint": prefix,
        "ok": True,
        "algorithm": "ed25519",
        "key_id": manifest.key_id,
        "fingerprint": manifest.fingerprint,
        "damage": [],
        "problem": None,
        "signature_verified": True,
        "written": manifest_of(prefix),
    }
    assert made == expected
    expected["written"] = None
    assert document("manifest", prefix, "--verify", *PUBLIC_KEY) == expected
    expected["signature_verified"] = False
    assert document("manifest", prefix, "--verify") == expected


def test_nothing_is_made_by_verifying(prefix):
    before = sorted(os.listdir("runs/a"))
    said = failing("manifest", prefix, "--verify", *PUBLIC_KEY)
    assert said.startswith(f"MANIFEST: {prefix}: no manifest belongs to this checkpoint")
    assert sorted(os.listdir("runs/a")) == before


def test_tampering(prefix):
    output("manifest", prefix, *PRIVATE_KEY)
    contents = bytearray(read(f"{prefix}.data-00000-of-00001"))
    contents[-1] ^= 1
    write(f"{prefix}.data-00000-of-00001", bytes(contents))
    said = failing("manifest", prefix, "--verify", *PUBLIC_KEY)
    assert ".data-00000-of-00001, offset 0: the " in said
    assert "bytes here have another SHA-256 than the manifest says" in said
    assert "MANIFEST: the files differ from it in 1 place" in said
    shown = call("manifest", prefix, "--verify", *PUBLIC_KEY, "--json")
    assert shown.exit_code == 1
    told = json.loads(shown.stdout)
    assert (told["ok"], told["signature_verified"]) == (False, False)
    assert [damage["offset"] for damage in told["damage"]] == [0]


def test_a_directory_means_the_checkpoint_that_its_state_file_names(prefix):
    older = cp.Checkpoint(kernel=cp.Variable(np.arange(50))).write("runs/a/older")
    output("manifest", older)
    os.truncate(f"{prefix}.data-00000-of-00001", 10)
    assert os.path.samefile(f"{cp.latest_checkpoint('runs/a')}.index", f"{older}.index")
    for arguments in ([], ["--verify"]):
        assert prefix in failing("manifest", "runs/a", *arguments)
    assert output("manifest", older, "--verify").startswith("OK: ")


def test_another_key(prefix):
    output("manifest", prefix, *PRIVATE_KEY)
    said = failing("manifest", prefix, "--verify", *HMAC)
    assert "is signed with ed25519, but the trusted key is for hmac-sha256" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--verify", "--public-key", "k.pem"], "k.pem: this is a private key"),
        (
            ["--verify", "--public-key", "secret"],
            "secret: this is not an Ed25519 public key in PEM format",
        ),
        (["--key-file", "p.pem"], "this is a public key, which can only verify"),
        (["--key-file", "short"], "the secret has 5 bytes, which is too few"),
        (["--key-file", "nothing"], "nothing: cannot open the file"),
    ],
)
def test_keys_that_are_none(prefix, arguments, words):
    with open("short", "wb") as file:
        file.write(b"short")
    said = failing("manifest", prefix, *arguments)
    assert said.startswith("error: ")
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [PUBLIC_KEY, [*PUBLIC_KEY, *PRIVATE_KEY, "--verify"]])
def test_wrong_usage(prefix, arguments):
    assert call("manifest", prefix, *arguments).exit_code == 2


def test_no_key_is_printed(prefix):
    shown = [call("manifest", prefix, *HMAC, "--json"), call("manifest", prefix, *PRIVATE_KEY)]
    for result in shown:
        for secret in (SECRET.hex(), repr(SECRET)[2:-1], private_pem().splitlines()[1].decode()):
            assert secret not in result.stdout + result.stderr


def test_no_checkpoint(prefix):
    assert "there is no checkpoint of this name" in failing("manifest", "runs/a/none", *HMAC)


# -- verify ----------------------------------------------------------------------------------


def test_verify_says_that_there_is_one(prefix):
    output("manifest", prefix, *PRIVATE_KEY)
    key = decoded(prefix).key_id
    lines = output("verify", prefix).splitlines()
    assert lines[1] == f"OK: the manifest: ed25519, key {key} (not verified: this needs the key)"
    assert document("verify", prefix)["manifest"]["ok"] is True
    assert output("verify", "--all", "runs/a").startswith(f"OK: {prefix}: ")
    assert document("verify", "--all", "runs/a")["ok"] is True


def test_verify_says_that_it_does_not_hold(prefix):
    """Every checksum holds, and it is not what was signed."""
    output("manifest", prefix, *PRIVATE_KEY)
    forge(prefix)
    said = failing("verify", prefix)
    assert said.startswith("OK: 3 values")
    assert f"MANIFEST: {prefix}: no manifest belongs" in said
    assert "is that of another index" in said
    said = failing("verify", "--all", "runs/a")
    assert f"OK: {prefix}: 3 values" in said
    assert "left over: runs/a/ckpt-1.manifest-" in said


def test_a_damaged_manifest_is_one_damage_of_its_own(prefix):
    output("manifest", prefix)
    write(manifest_of(prefix), read(manifest_of(prefix))[:-30])
    said = failing("verify", prefix)
    assert "MANIFEST: " in said
    assert "the manifest cannot be used: it is not JSON" in said
    told = json.loads(call("verify", prefix, "--json").stdout)
    assert told["damage"] == []
    assert told["ok"] is told["manifest"]["ok"] is False
    said = failing("verify", "--all", "runs/a")
    assert f"OK: {prefix}: 3 values" in said
    assert "the manifest cannot be used" in said
    # What is whole stays, whatever is beside it.
    assert call("repair", "runs/a", "--delete").exit_code == 0
    assert output("ls", prefix)


def test_ls_of_a_manifest_says_what_it_is(prefix):
    output("manifest", prefix)
    assert "this is the manifest of a checkpoint" in failing("ls", manifest_of(prefix))
