"""With a key, whatever is changed in the files of a checkpoint is refused (S41)."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.manifest import manifest_path
from checkpointable.manifest.document import decode_manifest, encode_manifest, signed_manifest
from checkpointable.manifest.keys import signer_of
from checkpointable.storage import use_storage
from checkpointable.testing import MemoryStorage
from tests.manifest.helpers import (
    OTHER_PRIVATE,
    OTHER_SECRET,
    PRIVATE,
    PUBLIC,
    SECRET,
    copy,
    data_of,
    decoded,
    document,
    encoded,
    forge,
    held,
    manifest_of,
    program,
    public_pem,
    read,
    refused,
    write,
)

DATA = ".data-00000-of-00001"


def test_a_flipped_bit_with_every_crc_made_right(prefix):
    forge(prefix)
    checkpoint = program(0)
    checkpoint.read(prefix)  # no checksum finds it
    assert checkpoint.kernel.numpy()[0] == 0  # 1 ^ 1
    assert checkpoint.kernel.numpy()[1] == 1
    refused(
        prefix, cp.CheckpointSignatureError, "that of another index: the checkpoint was written"
    )


def test_the_same_with_the_manifest_made_to_fit(prefix):
    """All that somebody can do who has no key: everything but the signature."""
    stolen = decoded(prefix).signature
    os.unlink(manifest_of(prefix))
    forge(prefix)
    path = cp.write_manifest(prefix, OTHER_SECRET)
    refused(prefix, cp.CheckpointSignatureError, "signed with another key")
    fake = decode_manifest(read(path), path)
    claimed = signer_of(SECRET).key_id
    for signature in (stolen, fake.signature, bytes(32)):
        write(path, encode_manifest(replace(fake, key_id=claimed, signature=signature)))
        refused(prefix, cp.CheckpointSignatureError, "the signature is not valid")


def test_data_alone_is_changed(prefix):
    contents = bytearray(read(data_of(prefix)))
    contents[5] ^= 1
    write(data_of(prefix), bytes(contents))
    refused(prefix, cp.CheckpointCorruptError, "offset 0: the .* bytes here have another SHA-256")


def test_where_a_large_file_was_changed(tmp_path):
    path = program(1, size=1_000_000).write(tmp_path / "ck", sign_with=SECRET)
    contents = bytearray(read(data_of(path)))
    contents[3 * 2**20 + 7] ^= 1
    write(data_of(path), bytes(contents))
    with pytest.raises(cp.CheckpointCorruptError) as caught:
        program(0, size=1_000_000).read(path, trusted_key=SECRET)
    assert (caught.value.path, caught.value.offset) == (data_of(path), 3 * 2**20)


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"\0"])
def test_a_file_of_another_size(prefix, change):
    write(data_of(prefix), change(read(data_of(prefix))))
    refused(prefix, cp.CheckpointCorruptError, "the (file|value)")


@pytest.mark.parametrize("gone", ["index", "data"])
def test_a_file_is_gone(prefix, gone):
    os.unlink(f"{prefix}.index" if gone == "index" else data_of(prefix))
    error = cp.CheckpointNotFoundError if gone == "index" else cp.CheckpointCorruptError
    refused(prefix, error, "no checkpoint of this name" if gone == "index" else "is missing")


def test_data_of_another_signed_checkpoint(prefix, tmp_path):
    other = program(2).write(tmp_path / "other", sign_with=SECRET)
    first, second = read(data_of(prefix)), read(data_of(other))
    assert len(first) == len(second)
    write(data_of(prefix), second)
    write(data_of(other), first)
    for path in (prefix, other):
        refused(path, cp.CheckpointCorruptError, "another SHA-256")


def test_a_gap_between_values_is_changed(tmp_path):
    path = cp.Checkpoint(
        a=cp.Variable(np.ones(5, np.int8)), b=cp.Variable(np.ones(5000, np.int8))
    ).write(tmp_path / "ck", sign_with=SECRET)
    with cp.load_checkpoint(path) as reader:
        ends = sorted((e.offset, e.offset + e.size) for e in map(reader.entry, reader.keys()))
    gap = next(end for (_, end), (start, _) in pairwise(ends) if start > end)
    contents = bytearray(read(data_of(path)))
    contents[gap] = 1
    write(data_of(path), bytes(contents))
    with pytest.raises(cp.CheckpointCorruptError, match="another SHA-256"):
        cp.load_checkpoint(path, trusted_key=SECRET).get_tensor("a/.ATTRIBUTES/VARIABLE_VALUE")


def test_something_in_a_shard_without_values(tmp_path):
    for value in (1, 2):
        path = program(value).write(tmp_path / "ck", sign_with=SECRET)
    (tmp_path / "ck.data-00001-of-00002").write_bytes(b"x")
    names = sorted(os.listdir(tmp_path))
    empty = [n for n in names if ".data-" in n and n not in {f.name for f in decoded(path).files}]
    (tmp_path / empty[0]).write_bytes(b"x")
    with pytest.raises(cp.CheckpointCorruptError, match="contains no value"):
        cp.verify_manifest(path, SECRET)


def test_a_renamed_checkpoint(prefix, tmp_path):
    """An older one in the place of a newer one, say."""
    target = copy(prefix, tmp_path / "ck-2")
    message = "for the checkpoint 'ck', but belongs to the files of 'ck-2': files were renamed"
    refused(target, cp.CheckpointSignatureError, message)


def test_another_directory_is_fine(prefix, tmp_path):
    (tmp_path / "b").mkdir()
    target = copy(prefix, tmp_path / "b" / "ck")
    checkpoint = program(0)
    checkpoint.read(target, trusted_key=SECRET)
    assert held(checkpoint) == 1


def test_no_manifest(tmp_path, prefix):
    os.unlink(manifest_of(prefix))
    refused(prefix, cp.CheckpointSignatureError, "no manifest belongs to this checkpoint")
    # Not as if there were nothing to restore.
    with pytest.raises(cp.CheckpointSignatureError) as caught:
        program(0).read(prefix, trusted_key=SECRET)
    assert not isinstance(caught.value, FileNotFoundError)


def test_the_signature_is_taken_away(prefix):
    written = document(prefix)
    written["statement"] |= {"algorithm": "none", "key_id": ""}
    write(manifest_of(prefix), encoded(written | {"signature": ""}))
    refused(prefix, cp.CheckpointSignatureError, "the manifest is not signed")
    cp.verify_manifest(prefix)  # which says nothing of who wrote it


@pytest.mark.parametrize(
    ("private", "key", "match"),
    [
        (SECRET, OTHER_SECRET, "signed with another key"),
        (PRIVATE, OTHER_PRIVATE.public_key(), "signed with another key"),
        (SECRET, PUBLIC, "signed with hmac-sha256, but the trusted key is for ed25519"),
        (PRIVATE, SECRET, "signed with ed25519, but the trusted key is for hmac-sha256"),
        (True, SECRET, "is not signed"),
        (True, PUBLIC, "is not signed"),
    ],
    ids=range(6),
)
def test_another_key(tmp_path, private, key, match):
    path = program(1).write(tmp_path / "ck", sign_with=private)
    refused(path, cp.CheckpointSignatureError, match, key)


def test_a_public_key_is_no_secret_for_whoever_knows_it(tmp_path):
    """The classic confusion: HMAC with the public key's bytes, where Ed25519 is expected."""
    path = program(1).write(tmp_path / "ck", sign_with=PRIVATE)
    forge(path)
    for secret in (public_pem(), PUBLIC.public_bytes_raw()):
        raw = signer_of(PUBLIC.public_bytes_raw())
        fake = signed_manifest(_manifest_for(path), raw)
        if secret.startswith(b"-----"):  # as an attacker's own program would
            raw._secret = secret
            fake = signed_manifest(_manifest_for(path), raw)
        write(_path_for(path), encode_manifest(fake))
        for key in (PUBLIC, public_pem()):
            refused(path, cp.CheckpointSignatureError, "but the trusted key is for ed25519", key)


def _path_for(prefix):
    return manifest_path(prefix, read(f"{prefix}.index"))


def _manifest_for(prefix):
    path = cp.write_manifest(prefix)
    return decode_manifest(read(path), path)


@pytest.mark.parametrize(
    "names",
    [
        ["../ck.index", f"ck{DATA}"],
        ["ck.index", f"../ck{DATA}"],
        ["ck.index", f"/ck{DATA}"],
        ["ck.index", "ck.data-00000-of-00002"],
        ["ck.index", "ck.index"],
        [f"ck{DATA}", "ck.index"],
        ["ck.index\0", f"ck{DATA}"],
    ],
)
def test_a_signed_manifest_of_other_files(prefix, names):
    """Also by the key's own owner: no name in it is ever opened."""
    manifest = decoded(prefix)
    files = tuple(f._replace(name=n) for f, n in zip(manifest.files, names, strict=True))
    signed = signed_manifest(replace(manifest, files=files), signer_of(SECRET))
    write(manifest_of(prefix), encode_manifest(signed))
    refused(prefix, cp.CheckpointCorruptError, "the index is not the one|lists the data files")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_signed_manifest_of_too_few_or_too_many_files(prefix, count):
    manifest = decoded(prefix)
    files = (*manifest.files, manifest.files[1])[:count]
    signed = signed_manifest(replace(manifest, files=files), signer_of(SECRET))
    write(manifest_of(prefix), encode_manifest(signed))
    refused(prefix, cp.CheckpointCorruptError, "the index is not the one|lists the data files")


def test_any_damage_to_the_manifest(prefix):
    path, contents = manifest_of(prefix), read(manifest_of(prefix))
    for at in range(0, len(contents), 7):
        write(path, contents[:at] + bytes((contents[at] ^ 1,)) + contents[at + 1 :])
        with pytest.raises(cp.CheckpointError):
            program(0).read(prefix, trusted_key=SECRET)
        with pytest.raises(cp.CheckpointError):
            cp.verify_manifest(prefix)
    for size in (0, 1, len(contents) // 2, len(contents) - 1):
        write(path, contents[:size])
        refused(prefix, cp.CheckpointCorruptError, "the manifest cannot be used")
    os.truncate(path, 2**27)
    refused(prefix, cp.CheckpointCorruptError, "bytes, but at most 67108864 are allowed")
    write(path, contents)
    program(0).read(prefix, trusted_key=SECRET)


def test_without_a_key_a_manifest_takes_nothing_away(prefix):
    """Whatever becomes of it: the checkpoint is whole."""
    write(manifest_of(prefix), b"nonsense")
    checkpoint = program(0)
    checkpoint.read(prefix)
    assert held(checkpoint) == 1


def test_every_bit_of_every_file(tmp_path):
    """A small one: each flip is refused by the key's owner, and has changed nothing."""
    path = cp.Checkpoint(v=cp.Variable(np.arange(3, dtype=np.int16))).write(
        tmp_path / "ck", sign_with=SECRET
    )
    disk = MemoryStorage()
    for name in os.listdir(tmp_path):
        disk.put(f"/a/{name}", read(tmp_path / name))
    checkpoint = cp.Checkpoint(v=cp.Variable(np.zeros(3, np.int16)))
    flipped = 0
    for name, contents in disk.contents().items():
        for offset in range(len(contents)):
            bit = (offset * 5) % 8
            disk.flip(name, offset, bit)
            with use_storage(disk), pytest.raises(cp.CheckpointError):
                checkpoint.read("/a/ck", trusted_key=SECRET)
            assert not checkpoint.v.numpy().any()
            disk.flip(name, offset, bit)
            flipped += 1
    assert flipped > 1000
    with use_storage(disk):
        checkpoint.read("/a/ck", trusted_key=SECRET).assert_consumed()
    assert path.endswith("ck")
