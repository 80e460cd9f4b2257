"""A manifest comes with a checkpoint, goes with it, and is taken for nothing else (S41)."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.maintenance.inspection import inspect_directory
from checkpointable.maintenance.repair import repair_directory
from checkpointable.maintenance.strays import stray_manifests
from checkpointable.manifest.format import base_of_manifest, is_manifest_name
from checkpointable.manifest.tree import leaf_hashes, root_hash
from checkpointable.storage import temporary_of, use_storage
from checkpointable.testing import MemoryStorage
from tests.manifest.helpers import (
    KEYS,
    OTHER_SECRET,
    PRIVATE,
    PUBLIC,
    SECRET,
    data_of,
    decoded,
    document,
    held,
    manifest_of,
    program,
    read,
)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def manifests(directory):
    return [name for name in names(directory) if ".manifest-" in name]


@pytest.mark.parametrize("algorithm", KEYS)
def test_every_way_to_save(tmp_path, algorithm):  # S41
    private, public = KEYS[algorithm]
    checkpoint, saver = program(), cp.CheckpointableSaver(program())
    variable = cp.Variable(np.ones(5), name="v")
    by_name = cp.Saver([variable])
    manager = cp.CheckpointManager(program(), tmp_path / "m", 2, sign_with=private)
    paths = [
        checkpoint.save(tmp_path / "a", sign_with=private),
        checkpoint.write(tmp_path / "b", sign_with=private),
        checkpoint.save_async(tmp_path / "c", sign_with=private).result(),
        checkpoint.write_async(tmp_path / "d", sign_with=private).result(),
        saver.save(tmp_path / "e", 5, sign_with=private),
        saver.save_async(tmp_path / "f", sign_with=private, max_staging_bytes=1).result(),
        by_name.save(tmp_path / "g", sign_with=private),
        manager.save(),
        manager.save_async().result(),
    ]
    for path in paths:
        cp.verify_manifest(path, public)
        manifest = decoded(path)
        assert manifest.algorithm == algorithm
        assert manifest.checkpoint == os.path.basename(path)
        for file in manifest.files:
            contents = read(os.path.join(os.path.dirname(path), file.name))
            assert (file.size, file.leaves) == (len(contents), leaf_hashes(contents, 2**20))
        assert [os.path.basename(data_of(path))] == [file.name for file in manifest.files[1:]]
    by_name.restore(paths[6], trusted_key=public)
    assert manager.checkpoints == paths[-2:]


def test_no_manifest_unless_asked_for(tmp_path):
    program().save(tmp_path / "ck")
    program().save(tmp_path / "ck", sign_with=False)
    assert manifests(tmp_path) == []


def test_a_manifest_without_a_key(tmp_path):
    path = program().save(tmp_path / "ck", sign_with=True)
    assert document(path)["statement"]["algorithm"] == "none"
    cp.verify_manifest(path)
    with pytest.raises(cp.CheckpointSignatureError, match="the manifest is not signed"):
        cp.verify_manifest(path, SECRET)


def test_the_same_values_give_the_same_bytes(tmp_path):  # S13
    for private, _ in KEYS.values():
        paths = [program().write(tmp_path / d / "ck", sign_with=private) for d in ("a", "b")]
        assert read(manifest_of(paths[0])) == read(manifest_of(paths[1]))
        assert os.path.basename(manifest_of(paths[0])) == os.path.basename(manifest_of(paths[1]))


def test_a_checkpoint_is_the_same_with_and_without(tmp_path):
    with_, without = (
        program().write(tmp_path / d / "ck", sign_with=m) for d, m in (("a", SECRET), ("b", False))
    )
    for name in ("ck.index", "ck.data-00000-of-00001"):
        assert read(tmp_path / "a" / name) == read(tmp_path / "b" / name)
    assert with_ != without


def test_the_roots_are_those_of_the_files(tmp_path):
    """As somebody else would compute them, from docs/format.md."""
    path = program(size=700_000).write(tmp_path / "ck", sign_with=SECRET)
    written = document(path)
    for file, chunks in zip(written["statement"]["files"], written["chunks"], strict=True):
        contents = read(tmp_path / file["name"])
        leaves = leaf_hashes(contents, written["statement"]["chunk_size"])
        assert (file["size"], file["root"]) == (len(contents), root_hash(leaves).hex())
        assert chunks == leaves.hex()
    assert len(written["chunks"][1]) == 3 * 64


def test_a_checkpoint_without_values(tmp_path):
    path = cp.Saver([cp.Variable(np.zeros((0, 3)), name="v")]).save(
        tmp_path / "ck", sign_with=SECRET
    )
    assert [file.name for file in decoded(path).files] == ["ck.index"]
    cp.verify_manifest(path, SECRET)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_equal_to_one_thread(tmp_path, threads, monkeypatch):
    monkeypatch.setattr("checkpointable.bundle.parallel._THREADS_MAX", threads)
    path = program(size=3_000_000).write(tmp_path / "ck", sign_with=SECRET)
    contents = read(data_of(path))
    assert decoded(path).files[1].leaves == leaf_hashes(contents, 2**20)
    cp.verify_manifest(path, SECRET)


# -- beside others ---------------------------------------------------------------------------


def test_it_is_taken_for_no_checkpoint(tmp_path, caplog):
    paths = [program().save(tmp_path / "ckpt", sign_with=SECRET)]
    os.unlink(tmp_path / "checkpoint")
    assert cp.latest_checkpoint(tmp_path) == paths[0]
    assert "no state file" in caplog.text
    inspection = inspect_directory(str(tmp_path))
    assert [c.prefix for c in inspection.checkpoints] == paths
    assert inspection.strays == []
    manifest = manifest_of(paths[0])
    with pytest.raises(cp.CheckpointUnsupportedError, match="this is the manifest of a checkpoint"):
        cp.load_checkpoint(manifest)
    alone = tmp_path / "alone"
    alone.mkdir()
    os.rename(manifest, alone / os.path.basename(manifest))
    assert cp.latest_checkpoint(alone) is None


def test_tensorflow_reads_it(tmp_path):
    import tensorflow as tf

    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    cp.Checkpoint(v=cp.Variable(array)).save(tmp_path / "ckpt", sign_with=PRIVATE)
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "ckpt-1")
    variable = tf.Variable(tf.zeros((2, 3)))
    checkpoint = tf.train.Checkpoint(v=variable)
    checkpoint.restore(str(tmp_path / "ckpt-1")).assert_consumed()
    assert (variable.numpy() == array).all()
    # It writes over the name, and knows nothing of manifests: the old one is not taken for its.
    checkpoint.write(str(tmp_path / "ckpt-1"))
    with pytest.raises(cp.CheckpointSignatureError, match="is that of another index"):
        cp.verify_manifest(str(tmp_path / "ckpt-1"), PUBLIC)
    assert repair_directory(str(tmp_path), delete=True).deleted
    assert manifests(tmp_path) == []
    path = cp.write_manifest(tmp_path / "ckpt-1", PRIVATE)
    assert cp.verify_manifest(tmp_path / "ckpt-1", PUBLIC)
    assert manifests(tmp_path) == [os.path.basename(path)]


@pytest.mark.parametrize("now", [SECRET, OTHER_SECRET, False], ids=["same", "other", "none"])
def test_a_save_over_it_takes_the_old_one_away(tmp_path, now):
    path = program(1).write(tmp_path / "ck", sign_with=SECRET)
    old = manifests(tmp_path)
    program(2).write(path, sign_with=now)
    assert not set(manifests(tmp_path)) & set(old)
    assert len(manifests(tmp_path)) == bool(now)
    if now:
        cp.verify_manifest(path, now)
    assert stray_manifests(str(tmp_path), names(tmp_path)) == []


def test_a_save_leaves_manifests_of_other_names_alone(tmp_path):
    for name in ("ck", "ck-1", "ck.manifest-0123456789abcdef"):
        program().write(tmp_path / name, sign_with=SECRET)
    before = names(tmp_path)
    assert len(before) == 9
    program().write(tmp_path / "ck", sign_with=SECRET)
    assert len(names(tmp_path)) == 10  # an empty second shard
    for name in ("ck", "ck-1", "ck.manifest-0123456789abcdef"):
        cp.verify_manifest(tmp_path / name, SECRET)


def test_what_a_killed_save_left_goes_with_the_next(tmp_path):
    stale = [".ck-1.manifest.tmp-1-0123abcd", ".ck-1.manifest-0123456789abcdef.tmp-1-0123abcd"]
    other = ".other.manifest.tmp-1-0123abcd"
    for name in (*stale, other):
        (tmp_path / name).write_bytes(b"x")
    program().write(tmp_path / "ck-2")
    assert [name for name in names(tmp_path) if temporary_of(name)] == [other]


def test_a_manager_deletes_it_too(tmp_path):
    manager = cp.CheckpointManager(program(), tmp_path, 2, sign_with=SECRET, trusted_key=SECRET)
    for _ in range(4):
        manager.save()
    assert len(manifests(tmp_path)) == 2
    assert stray_manifests(str(tmp_path), names(tmp_path)) == []
    assert [os.path.basename(path) for path in manager.checkpoints] == ["ckpt-3", "ckpt-4"]


def test_a_saver_deletes_it_too(tmp_path):
    saver = cp.Saver([cp.Variable(1.0, name="v")], max_to_keep=1)
    for number in range(3):
        saver.save(tmp_path / "ck", number, sign_with=SECRET)
    assert len(manifests(tmp_path)) == 1


def test_renamed_and_reencoded_checkpoints_are_others(tmp_path):
    path = program().write(tmp_path / "ck", sign_with=SECRET)
    program().write(tmp_path / "to", sign_with=SECRET)
    cp.rename_checkpoint(path, tmp_path / "to", {"kernel": "k"}, overwrite=True)
    assert len(manifests(tmp_path)) == 1  # that of the source; the old target's is gone
    cp.verify_manifest(path, SECRET)
    with pytest.raises(cp.CheckpointSignatureError, match="no manifest belongs"):
        cp.load_checkpoint(tmp_path / "to", trusted_key=SECRET)
    cp.write_manifest(tmp_path / "to", SECRET)
    cp.verify_manifest(tmp_path / "to", SECRET)
    by_name = cp.Saver([cp.Variable(1.0, name="v")]).save(tmp_path / "n", sign_with=SECRET)
    cp.reencode_checkpoint(by_name, tmp_path / "to", overwrite=True)
    with pytest.raises(cp.CheckpointSignatureError, match="no manifest belongs"):
        cp.load_checkpoint(tmp_path / "to", trusted_key=SECRET)


def test_repair_deletes_what_belongs_to_none_and_nothing_for_a_manifest(tmp_path):
    good = program().write(tmp_path / "good", sign_with=SECRET)
    bad = program().write(tmp_path / "bad", sign_with=SECRET)
    left = tmp_path / "gone.manifest-0123456789abcdef"
    stale = tmp_path / "good.manifest-0123456789abcdef"
    for path in (left, stale):
        path.write_bytes(b"x")
    with open(manifest_of(bad), "r+b") as file:  # the manifest is damaged, the checkpoint is not
        file.seek(50)
        file.write(b"?")
    inspection = inspect_directory(str(tmp_path))
    assert sorted(inspection.strays) == [str(left), str(stale)]
    assert {c.prefix: (c.is_whole, c.manifest.ok) for c in inspection.checkpoints} == {
        good: (True, True),
        bad: (True, False),
    }
    assert sorted(repair_directory(str(tmp_path), delete=True).deleted) == [str(left), str(stale)]
    for path in (good, bad):
        assert held(_restored(path)) == 1
    cp.verify_manifest(good, SECRET)


def _restored(path):
    checkpoint = program(0)
    checkpoint.read(path).assert_consumed()
    return checkpoint


@pytest.mark.parametrize("name", ["a", "a.b", "a.manifest-0123456789abcdef", "ü", "a\udc80"])
def test_names(tmp_path, name):
    if name.endswith("\udc80") and sys.platform != "linux":
        name = "x"
    path = program().write(tmp_path / name, sign_with=SECRET)
    cp.verify_manifest(path, SECRET)
    (manifest,) = [
        n for n in os.listdir(tmp_path) if n.startswith(name) and is_manifest_name(n, name)
    ]
    assert base_of_manifest(manifest) == name


@pytest.mark.parametrize(
    "name", ["a.manifest-0123", ".manifest-0123456789abcdef", "a.manifest-0123456789abcdeF", "a"]
)
def test_names_of_no_manifest(name):
    assert base_of_manifest(name) is None


# -- for what is there already ---------------------------------------------------------------


def test_write_manifest(tmp_path):
    path = program(size=900_000).save(tmp_path / "ckpt")
    told = []
    written = cp.write_manifest(tmp_path, SECRET, progress=lambda *a: told.append(a))
    assert written == manifest_of(path)
    assert told[-1][0] == told[-1][1]
    fingerprint = cp.verify_manifest(path, SECRET, progress=lambda *a: told.append(a))
    assert fingerprint == decoded(path).fingerprint
    assert told[-1] == (told[-1][1], os.path.getsize(data_of(path)), data_of(path))
    # One of another key takes its place.
    assert cp.write_manifest(f"{path}.index", PRIVATE) == written
    assert manifests(tmp_path) == [os.path.basename(written)]
    assert cp.verify_manifest(path, PUBLIC) != fingerprint


def test_it_is_the_one_that_a_save_writes(tmp_path):
    path = program(size=900_000).write(tmp_path / "ck", sign_with=SECRET)
    before = read(manifest_of(path))
    os.unlink(manifest_of(path))
    cp.write_manifest(path, SECRET)
    assert read(manifest_of(path)) == before


def test_no_damage_is_sealed(tmp_path):
    path = program().write(tmp_path / "ck")
    with open(data_of(path), "r+b") as file:
        file.seek(200)
        file.write(b"?")
    with pytest.raises(cp.CheckpointCorruptError, match="checksum"):
        cp.write_manifest(path, SECRET)
    assert manifests(tmp_path) == []


def test_a_save_that_comes_between_is_said(tmp_path, monkeypatch):
    path = program(1).write(tmp_path / "ck")
    from checkpointable.maintenance import sign as module

    plain = module.make_manifest

    def slow(*arguments):
        program(2).write(path)
        return plain(*arguments)

    monkeypatch.setattr(module, "make_manifest", slow)
    with pytest.raises(cp.CheckpointIOError, match="a save replaced the checkpoint while"):
        cp.write_manifest(path, SECRET)
    assert manifests(tmp_path) == []


def test_what_can_have_none(tmp_path):
    with pytest.raises(cp.CheckpointNotFoundError):
        cp.write_manifest(tmp_path / "nothing", SECRET)
    tensors = tmp_path / "x.safetensors"
    header = json.dumps({}).encode()
    tensors.write_bytes(len(header).to_bytes(8, "little") + header)
    for function in (
        cp.write_manifest,
        cp.verify_manifest,
        lambda p, k: cp.load_checkpoint(p, trusted_key=k),
    ):
        with pytest.raises(cp.CheckpointUnsupportedError, match="a single file"):
            function(tensors, SECRET)
    with pytest.raises(cp.CheckpointUnsupportedError, match="a single file"):
        program().read(tensors, trusted_key=SECRET)


def test_everything_goes_through_the_storage():
    storage = MemoryStorage()
    with use_storage(storage):
        path = program().write("/runs/ck", sign_with=SECRET)
        cp.verify_manifest(path, SECRET)
        cp.write_manifest(path, SECRET)
        program().read(path, trusted_key=SECRET).assert_consumed()
    assert [".manifest-" in name for name in sorted(storage.contents())] == [False, False, True]


PEAK = """
import resource, sys
import numpy as np
import checkpointable as cp

values = {f"v{n:03}": cp.Variable(np.full(250_001 + n, n, np.float32)) for n in range(200)}
checkpoint = cp.Checkpoint(**values)
for signed in (False, bytes(32)):
    checkpoint.write(sys.argv[1], sign_with=signed, durability="flush")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_hashing_takes_little_memory(tmp_path):
    """200 MB whose chunks all have gaps and borders in them."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "ck")],
        capture_output=True,
        text=True,
        check=True,
    )
    without, signed = map(int, done.stdout.split())
    assert signed - without < 48
