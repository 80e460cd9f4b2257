"""With a key nothing is restored that its owner did not write (S41)."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.bundle.reading.authenticated_file import AuthenticFile
from checkpointable.restore import restore as module
from tests.manifest.helpers import (
    KEYS,
    OTHER_SECRET,
    PUBLIC,
    SECRET,
    data_of,
    forge,
    held,
    manifest_of,
    program,
    read,
    refused,
    write,
)


@pytest.mark.parametrize("algorithm", KEYS)
def test_what_is_signed_is_restored(tmp_path, algorithm):  # S41
    private, public = KEYS[algorithm]
    path = program(7).save(tmp_path / "ckpt", sign_with=private)
    for restore in ("read", "restore"):
        checkpoint = program(0)
        getattr(checkpoint, restore)(path, trusted_key=public).assert_existing_objects_matched()
        assert held(checkpoint) == 7
    by_name = cp.Checkpoint(x=cp.Variable(np.zeros(5), name="v"))
    saved = cp.Saver([cp.Variable(np.ones(5), name="v")]).save(tmp_path / "n", sign_with=private)
    by_name.read(saved, trusted_key=public).run_restore_ops()
    assert (by_name.x.numpy() == 1).all()
    with cp.load_checkpoint(path, trusted_key=public) as reader:
        assert reader.verify() == []
        with cp.load_checkpoint(path) as plain:
            for name in plain.keys():
                assert np.array_equal(reader.get_tensor(name), plain.get_tensor(name))


@pytest.mark.parametrize("mmap", [True, "c"])
def test_mapped_arrays_are_on_memory_of_our_own(prefix, mmap):
    with cp.load_checkpoint(prefix, mmap=mmap, trusted_key=SECRET) as reader:
        array = reader.get_tensor("kernel/.ATTRIBUTES/VARIABLE_VALUE")
        with open(data_of(prefix), "r+b") as file:
            file.write(bytes(os.path.getsize(data_of(prefix))))
        assert (array == 1).all()
        assert array.flags.writeable == (mmap == "c")
        part = reader.get_slice("kernel/.ATTRIBUTES/VARIABLE_VALUE", np.s_[3:5])
        assert (part == 1).all()


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
    checkpoint.read(prefix, trusted_key=SECRET)
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
    path = program(3, size).write(tmp_path / "ck", sign_with=SECRET)
    checkpoint = cp.Checkpoint()
    status = checkpoint.read(path, trusted_key=SECRET)
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
    checkpoint.read(prefix, trusted_key=SECRET).expect_partial()
    in_place(prefix)
    checkpoint.kernel = cp.Variable(np.zeros(1000, np.int32))
    assert held(checkpoint) == 1


def test_a_name_based_restore_that_runs_later(tmp_path):  # S38
    path = cp.Saver([cp.Variable(np.ones(5), name="v")]).save(tmp_path / "n", sign_with=SECRET)
    checkpoint = cp.Checkpoint(x=cp.Variable(np.zeros(5), name="v"))
    status = checkpoint.read(path, trusted_key=SECRET)
    in_place(path)
    with pytest.raises(cp.CheckpointCorruptError, match="another SHA-256"):
        status.run_restore_ops()
    assert not checkpoint.x.numpy().any()


def test_nothing_of_an_index_is_read_before_it_is_known(prefix, monkeypatch):
    """Only what the key's owner wrote gets to the parser."""
    write(f"{prefix}.index", b"attack")

    def parse(*_arguments):
        raise AssertionError("parsed")

    monkeypatch.setattr("checkpointable.bundle.reading.open_files.load_index", parse)
    refused(prefix, cp.CheckpointSignatureError, "no manifest belongs to this checkpoint")


def test_only_what_is_wanted_is_read(tmp_path):
    """A file that is partly damaged, by somebody, where nothing of it is asked for."""
    arrays = {f"v{n}": cp.Variable(np.full(2**19, n, np.int32)) for n in range(4)}
    path = cp.Checkpoint(**arrays).write(tmp_path / "ck", sign_with=SECRET)
    contents = bytearray(read(data_of(path)))
    contents[-1] ^= 1
    write(data_of(path), bytes(contents))
    checkpoint = cp.Checkpoint(v0=cp.Variable(np.ones(2**19, np.int32)))
    checkpoint.read(path, trusted_key=SECRET).expect_partial()
    assert not checkpoint.v0.numpy().any()
    with pytest.raises(cp.CheckpointCorruptError, match="another SHA-256"):
        checkpoint.v3 = cp.Variable(np.zeros(2**19, np.int32))


@pytest.mark.parametrize("verify", [False, "stream"])
def test_a_key_asks_for_everything(prefix, verify):
    for restore in (program().read, cp.Saver([cp.Variable(1.0, name="v")]).restore):
        with pytest.raises(ValueError, match=r"leaves out checks that trusted_key= needs"):
            restore(prefix, verify=verify, trusted_key=SECRET)


def test_a_key_that_is_none_is_refused_at_once(tmp_path):
    for call in (
        lambda: program().read(None, trusted_key=b"short"),
        lambda: program().save(tmp_path / "x", sign_with=b"short"),
        lambda: program().save_async(tmp_path / "x", sign_with=b"short"),
        lambda: cp.CheckpointManager(program(), tmp_path, 1, trusted_key=b"short"),
        lambda: cp.CheckpointManager(program(), tmp_path, 1, sign_with=b"short"),
        lambda: cp.load_checkpoint(tmp_path / "x", trusted_key=b"short"),
    ):
        with pytest.raises(ValueError, match="too few"):
            call()
    assert os.listdir(tmp_path) == []


def test_a_first_start(tmp_path):  # S32
    program().restore(cp.latest_checkpoint(tmp_path), trusted_key=SECRET).initialize_or_restore()


# -- together --------------------------------------------------------------------------------


def test_a_manager_goes_back_to_the_newest_that_is_signed(tmp_path, caplog):
    def manager(**options):
        return cp.CheckpointManager(program(0), tmp_path, None, **options)

    own = manager(sign_with=SECRET, trusted_key=SECRET)
    for value in (1, 2, 3):
        own.checkpoint.kernel.assign(np.full(1000, value, np.int32))
        own.checkpoint.state["value"] = value
        own.save()
    os.unlink(manifest_of(str(tmp_path / "ckpt-3")))
    forge(str(tmp_path / "ckpt-2"))
    with pytest.raises(cp.CheckpointSignatureError):
        manager(trusted_key=SECRET).restore_or_initialize()
    again = manager(trusted_key=SECRET)
    again.restore_latest_valid()
    assert held(again.checkpoint) == 1
    assert again.latest_checkpoint.endswith("ckpt-1")
    assert caplog.text.count("no manifest belongs") == 2
    with pytest.raises(
        cp.CheckpointCorruptError, match="none of the 3 checkpoints here is complete"
    ):
        manager(trusted_key=PUBLIC).restore_latest_valid()
    unsigned = manager()
    unsigned.restore_or_initialize()
    assert held(unsigned.checkpoint) == 3


def test_readers_beside_a_writer_never_see_tampering(tmp_path):
    """Each sees the old or the new checkpoint, with its own manifest."""
    prefix = str(tmp_path / "ck")
    program(0).write(prefix, sign_with=SECRET, durability="flush")
    done = threading.Event()
    seen = set()

    def reader():
        checkpoint = program(0)
        while not done.is_set():
            checkpoint.read(prefix, trusted_key=SECRET)
            seen.add(held(checkpoint))
            cp.verify_manifest(prefix, SECRET)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(reader) for _ in range(2)]
        for value in range(60):
            program(value).write(prefix, sign_with=SECRET, durability="flush")
        done.set()
        for each in readers:
            each.result()
    assert len(seen) > 1


def test_many_threads_read_one_authentic_file(tmp_path):
    path = program(1, size=2_000_000).write(tmp_path / "ck", sign_with=SECRET)
    with cp.load_checkpoint(path, trusted_key=SECRET) as reader:
        assert all(isinstance(file, AuthenticFile) for file in reader.files.data.values())
        with ThreadPoolExecutor(4) as pool:
            values = list(pool.map(reader.get_tensor, ["kernel/.ATTRIBUTES/VARIABLE_VALUE"] * 8))
    assert all((value == 1).all() for value in values)


# -- reading without restoring -------------------------------------------------------------


def readers(checkpoint):
    """Everything that takes a path and a key, and restores nothing."""
    return {
        "plan": checkpoint.plan,
        "saver's plan": cp.CheckpointableSaver(checkpoint).plan,
        "list_variables": cp.list_variables,
        "object_metadata": cp.object_metadata,
        "compare": lambda path, **options: cp.compare_checkpoints(path, path, **options),
    }


@pytest.mark.parametrize("name", readers(program()))
def test_what_only_looks_takes_a_key_too(prefix, tmp_path, name):
    checkpoint = program(0)
    look = readers(checkpoint)[name]
    assert look(prefix, trusted_key=SECRET)
    with pytest.raises(cp.CheckpointSignatureError, match="another key"):
        look(prefix, trusted_key=OTHER_SECRET)
    with pytest.raises(TypeError, match="not str"):
        look(prefix, trusted_key="secret")
    forge(prefix)  # nothing but the manifest tells
    assert look(prefix, trusted_key=None)
    with pytest.raises((cp.CheckpointSignatureError, cp.CheckpointCorruptError)):
        look(prefix, trusted_key=SECRET)
    unsigned = program(2).write(tmp_path / "other")
    with pytest.raises(cp.CheckpointSignatureError, match="no manifest"):
        look(unsigned, trusted_key=SECRET)
    assert held(checkpoint) == 0


def test_both_that_are_compared_must_be_signed(prefix, tmp_path):
    unsigned = program(2).write(tmp_path / "other")
    for pair in ((prefix, unsigned), (unsigned, prefix)):
        with pytest.raises(cp.CheckpointSignatureError, match="no manifest"):
            cp.compare_checkpoints(*pair, trusted_key=SECRET)
