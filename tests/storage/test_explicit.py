"""`storage=` of the public classes and functions: nothing goes to the default storage."""

from __future__ import annotations

import copy
import os
import threading

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.storage import default_storage
from checkpointable.testing import CHANGES, READS, MemoryStorage, RecordingStorage, use_storage

SIZE = 2**18  # written by several threads


@pytest.fixture(autouse=True)
def untouched():
    """A default storage that nothing may use."""
    default = RecordingStorage(MemoryStorage(), kinds=CHANGES | READS)
    with use_storage(default) as storage:
        yield storage
    assert storage.operations == []


def program(value=0.0, storage=None, **options):
    return cp.Checkpoint(v=cp.Variable(np.full(SIZE, value), name="v"), storage=storage, **options)


def value_of(checkpoint):
    return float(checkpoint.v.numpy()[0])


@pytest.mark.parametrize(
    "make", [lambda c, s: c, lambda c, s: cp.CheckpointableSaver(c, storage=s)]
)
def test_a_saver_uses_its_storage(make):
    disk = MemoryStorage()
    saver = make(program(3.0, disk), disk)
    path = saver.save("/runs/ck")
    saver.save_async("/runs/other").result()
    assert disk.exists(f"{path}.index")
    checkpoint = program(storage=disk)
    again = make(checkpoint, disk)
    assert again.plan("/runs").counts["restored"] >= 1
    again.restore("/runs").assert_consumed()
    assert value_of(checkpoint) == 3.0
    assert cp.latest_checkpoint("/runs", storage=disk).startswith("/runs/other")


def test_write_and_read_use_it():
    disk = MemoryStorage()
    checkpoint = program(3.0, disk)
    for path in (checkpoint.write("/a"), checkpoint.write_async("/b").result()):
        again = program(storage=disk)
        again.read(path).assert_consumed()
        assert value_of(again) == 3.0


def test_a_name_based_saver_uses_it():
    disk = MemoryStorage()
    checkpoint = program(3.0)
    saver = cp.Saver([checkpoint.v], max_to_keep=1, storage=disk)
    first, second = saver.save("/n/ck", 1), saver.save("/n/ck", 2)
    assert not disk.exists(f"{first}.index")
    checkpoint.v.assign(np.zeros(SIZE))
    saver.restore(second)
    assert value_of(checkpoint) == 3.0
    status = program(storage=disk).restore("/n")
    status.run_restore_ops()
    status.require("v")


def test_a_deferred_restore_keeps_it():
    disk = MemoryStorage()
    path = program(3.0, disk).save("/runs/ck")
    later = cp.Checkpoint(storage=disk)
    status = later.restore(path)
    later.v = cp.Variable(np.zeros(SIZE))
    status.assert_consumed()
    assert value_of(later) == 3.0


@pytest.mark.parametrize("where", ["manager", "checkpoint", "both"])
@pytest.mark.parametrize("saver", [False, True])
def test_a_manager_shares_the_storage_of_its_checkpoint(where, saver):
    disk = MemoryStorage()
    options = {} if where == "checkpoint" else {"storage": disk}
    own = {} if where == "manager" else {"storage": disk}

    def manager():
        checkpoint = program(3.0, **own)
        if saver:
            made = cp.CheckpointableSaver(checkpoint, **own)
            return checkpoint, cp.CheckpointManager(made, "/m", 2, **options)
        return checkpoint, cp.CheckpointManager(checkpoint, "/m", 2, **options)

    checkpoint, first = manager()
    first.save()
    first.save_async().result()
    with first.save_on_preemption() as preemption:
        os.kill(os.getpid(), 15)
        assert preemption.safe_point()
    assert [os.path.basename(path) for path in first.checkpoints] == ["ckpt-2", "ckpt-3"]
    for restore in ("restore_or_initialize", "restore_latest_valid"):
        checkpoint, again = manager()
        checkpoint.v.assign(np.zeros(SIZE))
        assert getattr(again, restore)()
        assert again.latest_checkpoint == "/m/ckpt-3"
        assert value_of(checkpoint) == 3.0


def test_what_a_manager_calls_has_the_default_storage(untouched):
    seen = []
    manager = cp.CheckpointManager(
        program(),
        "/m",
        1,
        storage=MemoryStorage(),
        init_fn=lambda: seen.append(default_storage()),
    )
    assert manager.restore_or_initialize() is None
    assert seen == [untouched]


def test_two_storages_for_one_manager_are_refused():
    with pytest.raises(ValueError, match=r"pass storage= to only one of the two"):
        cp.CheckpointManager(program(storage=MemoryStorage()), "/m", 1, storage=MemoryStorage())


def test_functions_take_a_storage():
    disk = MemoryStorage()
    path = program(3.0, disk).save("/runs/ck")
    with cp.load_checkpoint(path, storage=disk) as reader:
        assert reader.get_tensor("v/.ATTRIBUTES/VARIABLE_VALUE")[0] == 3.0  # opened with it
    assert len(cp.list_variables(path, storage=disk)) == 3
    assert cp.object_metadata("/runs", storage=disk).nodes
    assert cp.compare_checkpoints(path, path, storage=disk).equal
    assert cp.write_manifest(path, b"k" * 32, storage=disk)
    assert cp.verify_manifest(path, b"k" * 32, storage=disk)
    renamed = cp.rename_checkpoint(path, "/runs/renamed", {"v": "w"}, storage=disk)
    assert disk.exists(f"{renamed}.index")
    named = cp.Saver([cp.Variable(1.0, name="v")], storage=disk).save("/n/ck")
    encoded = cp.reencode_checkpoint(named, "/n/encoded", storage=disk)
    assert disk.exists(f"{encoded}.index")
    cp.update_checkpoint_state("/runs", path, storage=disk)
    state = cp.get_checkpoint_state("/runs", storage=disk)
    assert state.model_checkpoint_path == path


def test_an_iterator_leaves_the_consumer_its_default(untouched):
    disk = MemoryStorage()
    path = program(3.0, disk).save("/runs/ck")
    for found in cp.checkpoints_iterator("/runs", timeout=0, storage=disk):
        assert found == path
        assert default_storage() is untouched


def test_each_of_two_threads_has_its_own():
    disks = [MemoryStorage(), MemoryStorage()]
    # Made in this thread, where `use_storage` is another one, and used in threads that have none.
    managers = [
        cp.CheckpointManager(program(float(number), disk), "/runs", 2)
        for number, disk in enumerate(disks)
    ]
    entered, errors = threading.Barrier(2), []

    def work(manager):
        try:
            entered.wait(60)
            for _ in range(4):
                manager.save_async().result(60)
                manager.save()
        except BaseException as error:  # noqa: BLE001 - raised by the test itself
            errors.append(error)
            entered.abort()

    threads = [threading.Thread(target=work, args=(manager,)) for manager in managers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for number, disk in enumerate(disks):
        checkpoint = program(9.0, disk)
        checkpoint.restore("/runs").assert_consumed()
        assert value_of(checkpoint) == number
        assert int(checkpoint.save_counter) == 8


def test_what_is_no_storage_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"not a Variable; to save an object under this name, ass"):
        cp.Checkpoint(storage=cp.Variable(1.0))
    makes = (
        lambda: cp.CheckpointableSaver(program(), storage="gs://"),
        lambda: cp.Saver([program().v], storage="gs://"),
        lambda: cp.CheckpointManager(program(), "/m", 1, storage="gs://"),
        lambda: cp.latest_checkpoint(tmp_path, storage="gs://"),
        lambda: next(cp.checkpoints_iterator(tmp_path, timeout=0, storage="gs://")),
    )
    for make in makes:
        with pytest.raises(
            TypeError, match=r"storage must be a cp.abc.Storage or None, not 'gs://'"
        ):
            make()


def test_an_object_may_be_called_storage():
    disk = MemoryStorage()
    checkpoint = cp.Checkpoint(storage=disk)
    checkpoint.storage = cp.Variable(2.0)
    keys = [key for key, _ in cp.list_variables(checkpoint.write("/a"), storage=disk)]
    assert "storage/.ATTRIBUTES/VARIABLE_VALUE" in keys


def test_a_copy_of_a_checkpoint_has_a_storage():
    checkpoint = program(3.0, MemoryStorage())
    copied = copy.copy(checkpoint)
    assert copied._objects.storage is checkpoint._objects.storage
