"""The default storage belongs to a context: concurrent programs do not get each other's."""

from __future__ import annotations

import contextvars
import threading
from contextlib import nullcontext

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.bundle.parallel import run_in_order
from checkpointable.storage import LocalStorage, default_storage
from checkpointable.testing import MemoryStorage, WatchedStorage, use_storage

# Above what is written or copied in the calling thread alone.
SIZE = 2**20
ROUNDS = 3


def program(value):
    return cp.Checkpoint(v=cp.Variable(np.full(SIZE, value)))


def value_of(path):
    with cp.load_checkpoint(path) as reader:
        assert reader.verify() == []
        return reader.get_tensor("v/.ATTRIBUTES/VARIABLE_VALUE")[0]


def save_blocking(manager):
    return manager.save()


def save_in_the_background(manager):
    return manager.save_async().result(60)


class Gated(WatchedStorage):
    """Holds up the operations of other threads than the main one until `opened` is set."""

    def __init__(self, inner):
        super().__init__(inner)
        self.opened = threading.Event()

    def around(self, operation):
        if threading.current_thread() is not threading.main_thread():
            assert self.opened.wait(60)
        return nullcontext()


@pytest.mark.parametrize("save", [save_blocking, save_in_the_background])
def test_two_threads_write_each_into_its_own_storage(save):
    entered = threading.Barrier(2)
    disks = [MemoryStorage(), MemoryStorage()]
    errors = []

    def work(number):
        directory = f"/runs/{number}"
        try:
            with use_storage(disks[number]) as storage:
                entered.wait(60)
                manager = cp.CheckpointManager(program(number), directory, ROUNDS - 1)
                for _ in range(ROUNDS):
                    path = save(manager)
                    assert default_storage() is storage
                    assert cp.latest_checkpoint(directory) == path
                    assert value_of(path) == number
                entered.wait(60)
        except BaseException as error:  # noqa: BLE001 - raised by the test itself
            errors.append(error)
            entered.abort()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for number, disk in enumerate(disks):
        assert sorted(disk.list(f"/runs/{number}")) == [
            "checkpoint",
            "checkpoint.history.json",
            "ckpt-2.data-00000-of-00001",
            "ckpt-2.index",
            "ckpt-3.data-00000-of-00001",
            "ckpt-3.index",
        ]
        assert not disk.exists(f"/runs/{1 - number}")


def test_a_save_keeps_its_storage_after_the_block():
    """All of its files, also those that follow the index: the state file, the history."""
    disk, later = MemoryStorage(), MemoryStorage()
    gated = Gated(disk)
    with use_storage(gated):
        manager = cp.CheckpointManager(program(1), "/runs/a", 1)
        handle = manager.save_async()
    with use_storage(later):
        gated.opened.set()
        assert handle.result(60) == "/runs/a/ckpt-1"
    assert not later.exists("/runs")
    assert disk.exists("/runs/a/checkpoint.history.json")
    with use_storage(disk):
        assert cp.latest_checkpoint("/runs/a") == "/runs/a/ckpt-1"


def test_a_thread_begins_with_the_local_files():
    seen = []

    def look():
        seen.append(default_storage())

    with use_storage(MemoryStorage()) as storage:
        context = contextvars.copy_context()
        for run in (look, lambda: context.run(look)):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
    assert isinstance(seen[0], LocalStorage)
    assert seen[1] is storage


def test_the_threads_of_one_call_use_the_storage_of_their_caller():
    with use_storage(MemoryStorage()) as storage:
        tasks = ((number, default_storage) for number in range(20))
        assert {used for _, used in run_in_order(tasks, 2**30, threads=2)} == {storage}
