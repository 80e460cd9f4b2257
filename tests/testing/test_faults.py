"""The storages for tests do what they say, and every fault at every operation is survived."""

from __future__ import annotations

import errno
import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.errors import CheckpointIOError, CheckpointPermissionError
from checkpointable.storage import LocalStorage, default_storage
from checkpointable.testing import (
    LOST,
    READS,
    TORN,
    Change,
    Fault,
    FaultyStorage,
    MemoryStorage,
    RecordingStorage,
    SlowStorage,
    Stopped,
    StoppingStorage,
    losses,
    use_storage,
)


def program(value=0):
    return cp.Checkpoint(v=cp.Variable(np.full(700, value, np.int32)))


def value_of(path):
    with cp.load_checkpoint(path) as reader:
        assert reader.verify() == []
        return int(reader.get_tensor("v/.ATTRIBUTES/VARIABLE_VALUE")[0])


def test_a_storage_in_the_place_of_the_local_files():
    before = default_storage()
    assert isinstance(before, LocalStorage)
    with use_storage(MemoryStorage()) as storage:
        assert default_storage() is storage
        path = program(3).save("/nowhere/here/ckpt")
        assert cp.latest_checkpoint("/nowhere/here") == path
        restored = program()
        restored.restore(path).assert_consumed()
        assert (restored.v.numpy() == 3).all()
    assert default_storage() is before
    assert not os.path.exists("/nowhere")
    assert sorted(storage.list("/nowhere/here")) == [
        "checkpoint",
        "ckpt-1.data-00000-of-00001",
        "ckpt-1.index",
    ]


def test_blocks_that_end_in_another_order():
    one, two = MemoryStorage(), MemoryStorage()
    first, second = use_storage(one), use_storage(two)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert default_storage() is two
    second.__exit__(None, None, None)
    assert isinstance(default_storage(), LocalStorage)


def test_recording(tmp_path):
    storage = RecordingStorage()
    with use_storage(storage):
        program().write(tmp_path / "ck")
    kinds = [kind for kind, _ in storage.steps]
    assert kinds == [
        *("make_directories", "create", "write", "sync", "rename", "sync_directory"),
        *("create", "write", "sync", "rename", "sync_directory"),
    ]
    assert storage.steps[1] == ("create", ".ck.data.tmp")
    write = storage.operations[2]
    assert (write.offset, write.size) == (0, os.path.getsize(tmp_path / "ck.data-00000-of-00001"))
    reads = RecordingStorage(kinds=READS)
    with use_storage(reads):
        value_of(tmp_path / "ck")
        with cp.load_checkpoint(tmp_path / "ck", mmap=True) as reader:
            reader.get_tensor("v/.ATTRIBUTES/VARIABLE_VALUE")
    assert {"open", "read", "map", "identity", "list"} <= {kind for kind, _ in reads.steps}


@pytest.mark.parametrize("manifest", [False, bytes(32)], ids=["", "signed"])
@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fault", Fault)
def test_every_fault_at_every_operation_of_a_save(fault, lasting, manifest):
    """The error says what, where and the system's number; the checkpoint before it stays."""
    for number in itertools.count():
        disk = MemoryStorage()
        disk.make_directories("/runs")
        with use_storage(disk):
            program(1).save("/runs/ck", sign_with=manifest)
        names = disk.list("/runs")
        storage = FaultyStorage(number, fault, disk, lasting=lasting)
        checkpoint = program(2)
        failed = None
        with use_storage(storage):
            try:
                checkpoint.restore(cp.latest_checkpoint("/runs"))
                checkpoint.v.assign(np.full(700, 2, np.int32))
                checkpoint.save("/runs/ck", sign_with=manifest)
            except CheckpointIOError as error:
                failed = error
        if failed is None:
            break
        assert failed.errno == fault.errno
        assert failed.path is not None
        assert failed.path.startswith("/runs")
        assert isinstance(failed, CheckpointPermissionError) == (fault is Fault.EACCES)
        with use_storage(disk):
            assert value_of("/runs/ck-1") == 1
            if manifest:
                cp.verify_manifest("/runs/ck-1", manifest)
            if "ck-2.index" in disk.list("/runs"):
                assert value_of("/runs/ck-2") == 2
                if manifest:
                    cp.verify_manifest("/runs/ck-2", manifest)
            elif not lasting:  # a disk that refuses everything keeps what is on it
                assert disk.list("/runs") == names
            assert cp.latest_checkpoint("/runs") in {"/runs/ck-1", "/runs/ck-2"}
            checkpoint.save("/runs/ck")
            assert not [name for name in disk.list("/runs") if name.startswith(".")]
    assert number > 10


@pytest.mark.parametrize("fault", [Fault.EIO, Fault.EACCES])
def test_every_fault_at_every_look_of_a_restore(fault):
    """It is raised, or another way to the same values is found; nothing changes halfway."""
    disk = MemoryStorage()
    with use_storage(disk):
        program(1).save("/runs/ck")
    raised = 0
    for number in itertools.count():
        storage = FaultyStorage(number, fault, disk, kinds=READS)
        checkpoint = program(0)
        assert checkpoint.save_counter.numpy() == 0
        failed = None
        with use_storage(storage):
            try:
                checkpoint.restore("/runs/ck-1").assert_consumed()
            except CheckpointIOError as error:
                failed = error
        if failed is None:
            assert (checkpoint.v.numpy() == 1).all()
        else:
            assert failed.errno == fault.errno
            assert not checkpoint.v.numpy().any()
            raised += 1
        if number >= len(storage.operations):
            break
    assert raised >= 3


def test_a_write_that_is_cut_short_or_torn():
    for fault, expected in (
        (Fault.SHORT_WRITE, b"x" * 1000 + bytes(1000)),
        (Fault.TORN_WRITE, (b"x" * 512 + bytes(512)) + b"x" * 512 + bytes(464)),
    ):
        disk = MemoryStorage()
        disk.make_directories("/a")
        file = FaultyStorage(1, fault, disk).create("/a/f", 2000)
        with pytest.raises(CheckpointIOError, match=fault.value):
            file.write_at(b"x" * 2000, 0)
        assert disk.contents() == {"/a/f": expected}


def test_a_fault_after_the_operation_is_done(tmp_path):
    storage = FaultyStorage(0, Fault.ENOSPC, after=True)
    with pytest.raises(CheckpointIOError) as caught:
        storage.make_directories(str(tmp_path / "a"))
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "a").is_dir()


def test_stopping_is_for_good(tmp_path):
    storage = StoppingStorage(2)
    with pytest.raises(Stopped), use_storage(storage):
        program().write(tmp_path / "ck")
    assert storage.stopped
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".ck.data.tmp")
    with pytest.raises(Stopped):
        storage.delete(str(tmp_path / left))


def test_being_slow(tmp_path):
    waits = []
    with use_storage(SlowStorage(0.5, sleep=waits.append)):
        program().write(tmp_path / "ck")
    assert waits == [0.5] * 11


# -- the model of a loss of power ----------------------------------------------------------


def made(storage, name, contents):
    file = storage.create(f"/a/{name}", len(contents))
    file.write_at(contents, 0)
    return file


def test_nothing_is_safe_that_was_not_synced():
    storage = MemoryStorage()
    storage.make_directories("/a", sync=True)
    file = made(storage, "f", b"abc")
    assert [change.kind for change in storage.unsynced] == ["name", "size", "write"]
    everything = range(len(storage.unsynced))
    assert storage.after_power_cut(everything).contents() == {}
    assert storage.after_power_cut([2]).contents() == {"/a/f": bytes(3)}
    assert storage.after_power_cut([1, 2]).contents() == {"/a/f": b""}
    assert storage.after_power_cut().contents() == {"/a/f": b"abc"}
    file.sync()
    assert [change.kind for change in storage.unsynced] == ["name"]
    storage.sync_directory("/a")
    assert storage.unsynced == []
    assert storage.after_power_cut().contents() == {"/a/f": b"abc"}


def test_a_rename_is_lost_whole_or_not_at_all():
    storage = MemoryStorage()
    storage.make_directories("/a", sync=True)
    made(storage, "old", b"1").sync()
    storage.sync_directory("/a")
    made(storage, "new", b"2").sync()
    storage.rename("/a/new", "/a/old")
    assert [change.kind for change in storage.unsynced] == ["name", "rename"]
    found = {
        tuple(storage.after_power_cut(lost).contents().items()) for lost in losses(storage.unsynced)
    }
    assert found == {
        (("/a/old", b"1"),),
        (("/a/new", b"2"), ("/a/old", b"1")),
        (("/a/old", b"2"),),
    }


def test_a_directory_is_lost_with_what_is_in_it():
    storage = MemoryStorage()
    storage.make_directories("/a/b")
    file = storage.create("/a/b/f", 0)
    storage.sync_directory("/a/b")
    file.close()
    assert [change.path for change in storage.unsynced] == ["/a", "/a/b"]
    assert storage.after_power_cut([0]).contents() == {}
    assert not storage.after_power_cut([0]).is_directory("/a/b")
    assert storage.after_power_cut().contents() == {"/a/b/f": b""}


def test_a_deletion_may_be_lost():
    storage = MemoryStorage()
    storage.put("/a/f", b"1")
    storage.delete("/a/f")
    assert storage.after_power_cut([0]).contents() == {"/a/f": b"1"}
    assert storage.after_power_cut().contents() == {}


def test_torn_writes_and_locks():
    storage = MemoryStorage()
    storage.make_directories("/a", sync=True)
    made(storage, "f", b"x" * 600)
    assert storage.after_power_cut({2: TORN}).contents() == {"/a/f": b"x" * 512 + bytes(88)}
    assert not storage.delete_if_unused("/a/f")
    assert storage.copy().delete_if_unused("/a/f"), "a writer is gone with its machine"


def test_combinations_of_what_is_lost():
    few = [Change("name", f"/{i}") for i in range(9)] + [Change("write", "/f")]
    tried = list(losses(few))
    assert len(tried) == 2**10 + 1
    assert len({tuple(sorted(lost.items())) for lost in tried}) == len(tried)
    many = few * 3
    tried = list(losses(many, random=100))
    pairs = {tuple(lost) for lost in tried if len(lost) == 2 and set(lost.values()) == {LOST}}
    assert len(pairs) == 30 * 29 / 2
    assert tried == list(losses(many, random=100))
    assert tried != list(losses(many, random=100, seed=1))


def test_the_example_of_the_page(capsys):
    page = Path(__file__).parents[2] / "docs" / "reliability.md"
    section = page.read_text("utf-8").partition("\n## Testing your own\n")[2]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    exec(compile(example, "docs", "exec"), {})
    assert "no space left" in capsys.readouterr().out
