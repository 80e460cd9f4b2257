"""With a key nothing is restored that its owner did not write (S41)."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.bundle.authentic import AuthenticFile
from checkpointable.manifest import manifest_path
from checkpointable.manifest.document import decode_manifest, encode_manifest, signed_manifest
from checkpointable.manifest.keys import signer_of
from checkpointable.restore import restore as module
from checkpointable.storage import use_storage
from checkpointable.testing import MemoryStorage
from tests.manifest.helpers import (
    KEYS,
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
    write,
)

DATA = ".data-00000-of-00001"


@pytest.fixture
def prefix(tmp_path):
    return program(1).write(tmp_path / "ck", manifest=SECRET)


def refused(prefix, error, match, key=SECRET):
    """Every way to read it refuses, and nothing has changed."""
    checkpoint = program(0)
    for restore in (
        checkpoint.read,
        checkpoint.restore,
        cp.CheckpointableSaver(checkpoint).restore,
    ):
        with pytest.raises(error, match=match):
            restore(prefix, key=key)
        assert held(checkpoint) == 0
    with pytest.raises(error, match=match):
        cp.verify_manifest(prefix, key)
    with pytest.raises(error, match=match):
        read_all(prefix, key)


def read_all(prefix, key):
    with cp.load_checkpoint(prefix, key=key) as reader:
        return [reader.get_tensor(name) for name in reader.keys()]


@pytest.mark.parametrize("algorithm", KEYS)
def test_what_is_signed_is_restored(tmp_path, algorithm):  # S41
    private, public = KEYS[algorithm]
    path = program(7).save(tmp_path / "ckpt", manifest=private)
    for restore in ("read", "restore"):
        checkpoint = program(0)
        getattr(checkpoint, restore)(path, key=public).assert_existing_objects_matched()
        assert held(checkpoint) == 7
    by_name = cp.Checkpoint(x=cp.Variable(np.zeros(5), name="v"))
    saved = cp.Saver([cp.Variable(np.ones(5), name="v")]).save(tmp_path / "n", manifest=private)
    by_name.read(saved, key=public).run_restore_ops()
    assert (by_name.x.numpy() == 1).all()
    with cp.load_checkpoint(path, key=public) as reader:
        assert reader.verify() == []
        with cp.load_checkpoint(path) as plain:
            for name in plain.keys():
                assert np.array_equal(reader.get_tensor(name), plain.get_tensor(name))


@pytest.mark.parametrize("mmap", [True, "c"])
def test_mapped_arrays_are_on_memory_of_our_own(prefix, mmap):
    with cp.load_checkpoint(prefix, mmap=mmap, key=SECRET) as reader:
        array = reader.get_tensor("kernel/.ATTRIBUTES/VARIABLE_VALUE")
        with open(data_of(prefix), "r+b") as file:
            file.write(bytes(os.path.getsize(data_of(prefix))))
        assert (array == 1).all()
        assert array.flags.writeable == (mmap == "c")
        part = reader.get_slice("kernel/.ATTRIBUTES/VARIABLE_VALUE", np.s_[3:5])
        assert (part == 1).all()


# -- tampering -------------------------------------------------------------------------------


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
        refused(prefix, cp.CheckpointSignatureError, "the signature does not hold")


def test_data_alone_is_changed(prefix):
    contents = bytearray(read(data_of(prefix)))
    contents[5] ^= 1
    write(data_of(prefix), bytes(contents))
    refused(prefix, cp.CheckpointCorruptError, "offset 0: the .* bytes here have another SHA-256")


def test_where_a_large_file_was_changed(tmp_path):
    path = program(1, size=1_000_000).write(tmp_path / "ck", manifest=SECRET)
    contents = bytearray(read(data_of(path)))
    contents[3 * 2**20 + 7] ^= 1
    write(data_of(path), bytes(contents))
    with pytest.raises(cp.CheckpointCorruptError) as caught:
        program(0, size=1_000_000).read(path, key=SECRET)
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
    other = program(2).write(tmp_path / "other", manifest=SECRET)
    first, second = read(data_of(prefix)), read(data_of(other))
    assert len(first) == len(second)
    write(data_of(prefix), second)
    write(data_of(other), first)
    for path in (prefix, other):
        refused(path, cp.CheckpointCorruptError, "another SHA-256")


def test_a_gap_between_values_is_changed(tmp_path):
    path = cp.Checkpoint(
        a=cp.Variable(np.ones(5, np.int8)), b=cp.Variable(np.ones(5000, np.int8))
    ).write(tmp_path / "ck", manifest=SECRET)
    with cp.load_checkpoint(path) as reader:
        ends = sorted((e.offset, e.offset + e.size) for e in map(reader.entry, reader.keys()))
    gap = next(end for (_, end), (start, _) in pairwise(ends) if start > end)
    contents = bytearray(read(data_of(path)))
    contents[gap] = 1
    write(data_of(path), bytes(contents))
    with pytest.raises(cp.CheckpointCorruptError, match="another SHA-256"):
        cp.load_checkpoint(path, key=SECRET).get_tensor("a/.ATTRIBUTES/VARIABLE_VALUE")


def test_something_in_a_shard_without_values(tmp_path):
    for value in (1, 2):
        path = program(value).write(tmp_path / "ck", manifest=SECRET)
    (tmp_path / "ck.data-00001-of-00002").write_bytes(b"x")
    names = sorted(os.listdir(tmp_path))
    empty = [n for n in names if ".data-" in n and n not in {f.name for f in decoded(path).files}]
    (tmp_path / empty[0]).write_bytes(b"x")
    with pytest.raises(cp.CheckpointCorruptError, match="no value is in it"):
        cp.verify_manifest(path, SECRET)


def test_a_renamed_checkpoint(prefix, tmp_path):
    """An older one in the place of a newer one, say."""
    target = copy(prefix, tmp_path / "ck-2")
    message = "that of the checkpoint 'ck', but lies beside 'ck-2': its files were renamed"
    refused(target, cp.CheckpointSignatureError, message)


def test_another_directory_is_fine(prefix, tmp_path):
    (tmp_path / "b").mkdir()
    target = copy(prefix, tmp_path / "b" / "ck")
    checkpoint = program(0)
    checkpoint.read(target, key=SECRET)
    assert held(checkpoint) == 1


def test_no_manifest(tmp_path, prefix):
    os.unlink(manifest_of(prefix))
    refused(prefix, cp.CheckpointSignatureError, "no manifest belongs to this checkpoint")
    # Not as if there were nothing to restore.
    with pytest.raises(cp.CheckpointSignatureError) as caught:
        program(0).read(prefix, key=SECRET)
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
        (SECRET, PUBLIC, "signed with hmac-sha256, but the key is one for ed25519"),
        (PRIVATE, SECRET, "signed with ed25519, but the key is one for hmac-sha256"),
        (True, SECRET, "is not signed"),
        (True, PUBLIC, "is not signed"),
    ],
    ids=range(6),
)
def test_another_key(tmp_path, private, key, match):
    path = program(1).write(tmp_path / "ck", manifest=private)
    refused(path, cp.CheckpointSignatureError, match, key)


def test_a_public_key_is_no_secret_for_whoever_knows_it(tmp_path):
    """The classic confusion: HMAC with the public key's bytes, where Ed25519 is expected."""
    path = program(1).write(tmp_path / "ck", manifest=PRIVATE)
    forge(path)
    for secret in (public_pem(), PUBLIC.public_bytes_raw()):
        raw = signer_of(PUBLIC.public_bytes_raw())
        fake = signed_manifest(_manifest_for(path), raw)
        if secret.startswith(b"-----"):  # as an attacker's own program would
            raw._secret = secret
            fake = signed_manifest(_manifest_for(path), raw)
        write(_path_for(path), encode_manifest(fake))
        for key in (PUBLIC, public_pem()):
            refused(path, cp.CheckpointSignatureError, "but the key is one for ed25519", key)


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
    refused(prefix, cp.CheckpointCorruptError, "the index is not the one|has the data files")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_signed_manifest_of_too_few_or_too_many_files(prefix, count):
    manifest = decoded(prefix)
    files = (*manifest.files, manifest.files[1])[:count]
    signed = signed_manifest(replace(manifest, files=files), signer_of(SECRET))
    write(manifest_of(prefix), encode_manifest(signed))
    refused(prefix, cp.CheckpointCorruptError, "the index is not the one|has the data files")


def test_any_damage_to_the_manifest(prefix):
    path, contents = manifest_of(prefix), read(manifest_of(prefix))
    for at in range(0, len(contents), 7):
        write(path, contents[:at] + bytes((contents[at] ^ 1,)) + contents[at + 1 :])
        with pytest.raises(cp.CheckpointError):
            program(0).read(prefix, key=SECRET)
        with pytest.raises(cp.CheckpointError):
            cp.verify_manifest(prefix)
    for size in (0, 1, len(contents) // 2, len(contents) - 1):
        write(path, contents[:size])
        refused(prefix, cp.CheckpointCorruptError, "the manifest cannot be used")
    os.truncate(path, 2**27)
    refused(prefix, cp.CheckpointCorruptError, "bytes, and 67108864 are allowed")
    write(path, contents)
    program(0).read(prefix, key=SECRET)


def test_without_a_key_a_manifest_takes_nothing_away(prefix):
    """Whatever becomes of it: the checkpoint is whole."""
    write(manifest_of(prefix), b"nonsense")
    checkpoint = program(0)
    checkpoint.read(prefix)
    assert held(checkpoint) == 1


def test_every_bit_of_every_file(tmp_path):
    """A small one: each flip is refused by the key's owner, and has changed nothing."""
    path = cp.Checkpoint(v=cp.Variable(np.arange(3, dtype=np.int16))).write(
        tmp_path / "ck", manifest=SECRET
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
                checkpoint.read("/a/ck", key=SECRET)
            assert not checkpoint.v.numpy().any()
            disk.flip(name, offset, bit)
            flipped += 1
    assert flipped > 1000
    with use_storage(disk):
        checkpoint.read("/a/ck", key=SECRET).assert_consumed()
    assert path.endswith("ck")


# -- what is hashed is what is assigned ------------------------------------------------------


def in_place(prefix, value=0xFF):
    """Somebody writes into the file itself, which mappings of it see."""
    with open(data_of(prefix), "r+b") as file:
        file.write(bytes((value,)) * os.path.getsize(data_of(prefix)))


def test_a_change_between_verification_and_assignment_is_not_assigned(prefix, monkeypatch):
    checkpoint = program(0)
    plain = module.assign_values

    def assign(*arguments, **options):
        in_place(prefix)
        return plain(*arguments, **options)

    monkeypatch.setattr(module, "assign_values", assign)
    checkpoint.read(prefix, key=SECRET)
    assert held(checkpoint) == 1


def test_the_same_without_a_key_is_why(prefix, monkeypatch):
    """What the test above would see of a mapped file."""
    checkpoint = program(0)
    plain = module.assign_values

    def assign(reader, values, *arguments):
        in_place(prefix)
        return plain(reader, [v for v in values if v[0].startswith("kernel")], *arguments)

    monkeypatch.setattr(module, "assign_values", assign)
    checkpoint.read(prefix).expect_partial()
    assert (checkpoint.kernel.numpy() == -1).all()


@pytest.mark.parametrize("how", ["in place", "replaced", "deleted"])
def test_a_deferred_value_is_the_signed_one_or_an_error(tmp_path, how):  # S26
    size = 600_000
    path = program(3, size).write(tmp_path / "ck", manifest=SECRET)
    checkpoint = cp.Checkpoint()
    status = checkpoint.read(path, key=SECRET)
    status.expect_partial()
    if how == "in place":
        in_place(path)
        with pytest.raises(cp.CheckpointCorruptError, match="another SHA-256"):
            checkpoint.kernel = cp.Variable(np.zeros(size, np.int32))
    else:
        if how == "deleted":
            os.unlink(data_of(path))
        else:
            write(data_of(path), bytes(os.path.getsize(data_of(path))))
        checkpoint.kernel = cp.Variable(np.zeros(size, np.int32))
        assert (checkpoint.kernel.numpy() == 3).all()


def test_a_deferred_value_whose_bytes_are_there_already_stays_right(prefix):
    """It lies in a chunk that was read for another value."""
    checkpoint = cp.Checkpoint(state=cp.JSONState({}))
    checkpoint.read(prefix, key=SECRET).expect_partial()
    in_place(prefix)
    checkpoint.kernel = cp.Variable(np.zeros(1000, np.int32))
    assert held(checkpoint) == 1


def test_a_name_based_restore_that_runs_later(tmp_path):  # S38
    path = cp.Saver([cp.Variable(np.ones(5), name="v")]).save(tmp_path / "n", manifest=SECRET)
    checkpoint = cp.Checkpoint(x=cp.Variable(np.zeros(5), name="v"))
    status = checkpoint.read(path, key=SECRET)
    in_place(path)
    with pytest.raises(cp.CheckpointCorruptError, match="another SHA-256"):
        status.run_restore_ops()
    assert not checkpoint.x.numpy().any()


def test_nothing_of_an_index_is_read_before_it_is_known(prefix, monkeypatch):
    """Only what the key's owner wrote gets to the parser."""
    write(f"{prefix}.index", b"attack")

    def parse(*_arguments):
        raise AssertionError("parsed")

    monkeypatch.setattr("checkpointable.bundle.data.load_index", parse)
    refused(prefix, cp.CheckpointSignatureError, "no manifest belongs to this checkpoint")


def test_only_what_is_wanted_is_read(tmp_path):
    """A file that is partly damaged, by somebody, where nothing of it is asked for."""
    arrays = {f"v{n}": cp.Variable(np.full(2**19, n, np.int32)) for n in range(4)}
    path = cp.Checkpoint(**arrays).write(tmp_path / "ck", manifest=SECRET)
    contents = bytearray(read(data_of(path)))
    contents[-1] ^= 1
    write(data_of(path), bytes(contents))
    checkpoint = cp.Checkpoint(v0=cp.Variable(np.ones(2**19, np.int32)))
    checkpoint.read(path, key=SECRET).expect_partial()
    assert not checkpoint.v0.numpy().any()
    with pytest.raises(cp.CheckpointCorruptError, match="another SHA-256"):
        checkpoint.v3 = cp.Variable(np.zeros(2**19, np.int32))


@pytest.mark.parametrize("verify", [False, "stream"])
def test_a_key_asks_for_everything(prefix, verify):
    for restore in (program().read, cp.Saver([cp.Variable(1.0, name="v")]).restore):
        with pytest.raises(ValueError, match=r"leaves out checks, and key= asks for all of them"):
            restore(prefix, verify=verify, key=SECRET)


def test_a_key_that_is_none_is_refused_at_once(tmp_path):
    for call in (
        lambda: program().read(None, key=b"short"),
        lambda: program().save(tmp_path / "x", manifest=b"short"),
        lambda: program().save(tmp_path / "x", manifest=b"short", blocking=False),
        lambda: cp.CheckpointManager(program(), tmp_path, 1, key=b"short"),
        lambda: cp.CheckpointManager(program(), tmp_path, 1, manifest=b"short"),
        lambda: cp.load_checkpoint(tmp_path / "x", key=b"short"),
    ):
        with pytest.raises(ValueError, match="too few"):
            call()
    assert os.listdir(tmp_path) == []


def test_a_first_start(tmp_path):  # S32
    program().restore(cp.latest_checkpoint(tmp_path), key=SECRET).initialize_or_restore()


# -- together --------------------------------------------------------------------------------


def test_a_manager_goes_back_to_the_newest_that_is_signed(tmp_path, caplog):
    def manager(**options):
        return cp.CheckpointManager(program(0), tmp_path, None, **options)

    own = manager(manifest=SECRET, key=SECRET)
    for value in (1, 2, 3):
        own.checkpoint.kernel.assign(np.full(1000, value, np.int32))
        own.checkpoint.state["value"] = value
        own.save()
    os.unlink(manifest_of(str(tmp_path / "ckpt-3")))
    forge(str(tmp_path / "ckpt-2"))
    with pytest.raises(cp.CheckpointSignatureError):
        manager(key=SECRET).restore_or_initialize()
    again = manager(key=SECRET)
    again.restore_latest_valid()
    assert held(again.checkpoint) == 1
    assert again.latest_checkpoint.endswith("ckpt-1")
    assert caplog.text.count("no manifest belongs") == 2
    with pytest.raises(cp.CheckpointCorruptError, match="none of the 3 checkpoints here is whole"):
        manager(key=PUBLIC).restore_latest_valid()
    unsigned = manager()
    unsigned.restore_or_initialize()
    assert held(unsigned.checkpoint) == 3


def test_readers_beside_a_writer_never_see_tampering(tmp_path):
    """Each sees the old or the new checkpoint, with its own manifest."""
    prefix = str(tmp_path / "ck")
    program(0).write(prefix, manifest=SECRET, durability="flush")
    done = threading.Event()
    seen = set()

    def reader():
        checkpoint = program(0)
        while not done.is_set():
            checkpoint.read(prefix, key=SECRET)
            seen.add(held(checkpoint))
            cp.verify_manifest(prefix, SECRET)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(reader) for _ in range(2)]
        for value in range(60):
            program(value).write(prefix, manifest=SECRET, durability="flush")
        done.set()
        for each in readers:
            each.result()
    assert len(seen) > 1


def test_many_threads_read_one_authentic_file(tmp_path):
    path = program(1, size=2_000_000).write(tmp_path / "ck", manifest=SECRET)
    with cp.load_checkpoint(path, key=SECRET) as reader:
        assert all(isinstance(file, AuthenticFile) for file in reader._files.data.values())
        with ThreadPoolExecutor(4) as pool:
            values = list(pool.map(reader.get_tensor, ["kernel/.ATTRIBUTES/VARIABLE_VALUE"] * 8))
    assert all((value == 1).all() for value in values)
