"""Saves that go on in the background, stopped at every operation, while the program trains on."""

from __future__ import annotations

import numpy as np

import checkpointable as cp
from tests.torture.cases import (
    AGAIN,
    DIRECTORY,
    NEW,
    Case,
    going_on,
    overwriting,
    program,
    set_to,
)

LATER = 77  # what the program has made of its values by then: in no checkpoint


def wait(checkpoint, handle):
    set_to(checkpoint, LATER)
    return handle.result()


def go_on(value, number=None):
    checkpoint = program()
    checkpoint.restore(cp.latest_checkpoint(DIRECTORY))
    set_to(checkpoint, value)
    return wait(checkpoint, checkpoint.save_async(f"{DIRECTORY}/ckpt"))


def next_save():
    return going_on(go_on)


def overwrite(staging=None):
    """Some of it is written before `save` returns, where copies may not take all."""

    def write(value):
        checkpoint = program(value)
        handle = checkpoint.write_async(f"{DIRECTORY}/ck", max_staging_bytes=staging)
        return wait(checkpoint, handle)

    return overwriting(write, lambda: write(1))


def manager_saves():
    """Two in a row, the second begun while the first goes on; with deletions."""

    def manager():
        own = cp.CheckpointManager(program(), DIRECTORY, 2, best=("loss", "min", 1))
        own.restore_or_initialize()
        return own

    def save(own, value, loss):
        set_to(own.checkpoint, value)
        return own.save_async(metrics={"loss": loss})

    def prepare():
        own = manager()
        for value, loss in enumerate((3, 1, 2, 5), 1):
            save(own, value, loss)
        own.checkpoint._saves.settle()

    def act():
        own = manager()
        save(own, 6, 4)
        wait(own.checkpoint, save(own, NEW, 3))

    def again():
        own = manager()
        return wait(own.checkpoint, save(own, AGAIN, 6))

    return Case(
        prepare=prepare,
        act=act,
        allowed={"ckpt-2": {2}, "ckpt-3": {3}, "ckpt-4": {4}, "ckpt-5": {6}, "ckpt-6": {NEW}},
        always={"ckpt-2"},
        latest={4, 6, NEW},
        at_end={"ckpt-2": 2, "ckpt-5": 6, "ckpt-6": NEW},
        next=again,
    )


def several_chunks():
    def write(value):
        checkpoint = cp.Checkpoint(v=cp.Variable(np.full(600_000, value, np.int32)))
        handle = checkpoint.write_async(f"{DIRECTORY}/ck")
        checkpoint.v.assign(np.zeros(600_000, np.int32))
        return handle.result()

    return Case(
        prepare=lambda: write(1),
        act=lambda: write(NEW),
        allowed={"ck": {1, NEW}},
        always={"ck"},
        latest={1, NEW},
        at_end={"ck": NEW},
    )


OF_ASYNC = {
    "asynchronous, next save": next_save,
    "asynchronous, overwrite": overwrite,
    "asynchronous, overwrite without copies": lambda: overwrite(0),
    "asynchronous, manager, two in a row": manager_saves,
}
OF_ASYNC_LARGE = {"asynchronous, several chunks": several_chunks}
