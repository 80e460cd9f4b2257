"""Programs that save, rename, delete: what each may leave, wherever it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import checkpointable as cp
from checkpointable.bundle import BundleReader, Header, write_index
from checkpointable.bundle.format import data_path, index_path
from checkpointable.maintenance.reencode import reencode_checkpoint
from checkpointable.maintenance.rename import rename_checkpoint
from checkpointable.storage import default_storage

DIRECTORY = "/runs/a"
NEW = 9  # what the program under test saves; what was there before is lower
AGAIN = 8  # what is saved after a crash
KEY = bytes(range(32))  # of the manifests, where there are some


@dataclass
class Case:
    """A program, and what it may leave.

    Attributes:
      prepare: makes what is there before, durably.
      act: what is stopped.
      allowed: checkpoint -> the values it may hold, if it is there.
      always: checkpoints that are there at every instant.
      latest: what `latest_checkpoint` may hold before the end, and at the end; None: nothing.
      next: a further save, after which nothing is left that no checkpoint names.
      orphans: data that a crash may leave for good (docs/reliability.md says whose).
      damage: a loss of power may damage what is there; it must be found then.
      broken: checkpoints that are damaged from the start, until something replaces them.
      manifests: "always": each checkpoint that is there has a manifest that `KEY` signed and that
        holds; "maybe": each that has one; "never": none has one.
    """

    prepare: Callable[[], object]
    act: Callable[[], object]
    allowed: dict[str, set[int]]
    always: set[str] = field(default_factory=set)
    latest: set[int | None] = field(default_factory=lambda: {None})
    at_end: dict[str, int] = field(default_factory=dict)
    next: Callable[[], object] | None = None
    orphans: bool = False
    damage: bool = False
    broken: set[str] = field(default_factory=set)
    manifests: str = "never"


def program(value=0):
    return cp.Checkpoint(
        v=cp.Variable(np.full(700, value, np.int32)), name=cp.JSONState({"value": value})
    )


def set_to(checkpoint, value):
    checkpoint.v.assign(np.full(700, value, np.int32))
    checkpoint.name["value"] = value
    return checkpoint


# -- the programs --------------------------------------------------------------------------


def first_save():
    return Case(
        prepare=lambda: None,
        act=lambda: program(NEW).save(f"{DIRECTORY}/ckpt"),
        allowed={"ckpt-1": {NEW}},
        latest={None, NEW},
        at_end={"ckpt-1": NEW},
        next=lambda: program(AGAIN).save(f"{DIRECTORY}/ckpt"),
    )


def next_save():
    def go_on(value):
        checkpoint = program()
        checkpoint.restore(cp.latest_checkpoint(DIRECTORY))
        return set_to(checkpoint, value).save(f"{DIRECTORY}/ckpt")

    return going_on(go_on)


def going_on(go_on):
    """A second checkpoint beside the first; `go_on` restores the latest and saves a value."""
    return Case(
        prepare=lambda: program(1).save(f"{DIRECTORY}/ckpt"),
        act=lambda: go_on(NEW),
        allowed={"ckpt-1": {1}, "ckpt-2": {NEW}},
        always={"ckpt-1"},
        latest={1, NEW},
        at_end={"ckpt-1": 1, "ckpt-2": NEW},
        next=lambda: go_on(AGAIN),
    )


def overwriting(write, prepare, before=1):
    """A checkpoint is written again under its name.

    Args:
      write: saves a value there.
      prepare, before: what is there, and the value that it holds.
    """
    return Case(
        prepare=prepare,
        act=lambda: write(NEW),
        allowed={"ck": {before, NEW}},
        always={"ck"},
        latest={before, NEW},
        at_end={"ck": NEW},
        next=lambda: write(AGAIN),
    )


def overwrite(rounds):
    def write(value):
        return cp.CheckpointableSaver(program(value)).save(f"{DIRECTORY}/ck")

    def prepare():
        for value in range(1, rounds + 1):
            write(value)

    return overwriting(write, prepare, rounds)


def three_shards():
    """Over a checkpoint that another program wrote in several data files."""

    def prepare():
        prefix = f"{DIRECTORY}/ck"
        storage = default_storage()
        program(1).write(prefix)
        with BundleReader(prefix) as reader:
            entries = reader.raw_entries()
        storage.rename(data_path(prefix, 0, 1), data_path(prefix, 0, 3))
        for shard in (1, 2):
            storage.create(data_path(prefix, shard, 3), 0).close()
        write_index(index_path(prefix), Header(3), entries)

    def write(value):
        return program(value).write(f"{DIRECTORY}/ck")

    return overwriting(write, prepare)


def own_directory():
    """One that the program made itself, and nobody synced."""

    def act(value=NEW):
        default_storage().make_directories(DIRECTORY)
        return program(value).save(f"{DIRECTORY}/ckpt")

    return Case(
        prepare=lambda: None,
        act=act,
        allowed={"ckpt-1": {NEW}},
        latest={None, NEW},
        at_end={"ckpt-1": NEW},
        next=lambda: act(AGAIN),
    )


def manager_save(key=None):
    """With one that is kept for its metric, one deleted, and one whose deletion goes on.

    Args:
      key: signs manifests; None: there are none.
    """
    losses = [3, 1, 2, 5]
    options = {"best": ("loss", "min", 1), "sign_with": key or False, "trusted_key": key}

    def manager():
        return cp.CheckpointManager(program(), DIRECTORY, 2, **options)

    def go_on(value, loss):
        own = manager()
        own.restore_or_initialize()
        set_to(own.checkpoint, value)
        return own.save(metrics={"loss": loss})

    def prepare():
        for value, loss in enumerate(losses, 1):
            go_on(value, loss)

    return Case(
        prepare=prepare,
        act=lambda: go_on(NEW, 4),
        allowed={"ckpt-2": {2}, "ckpt-3": {3}, "ckpt-4": {4}, "ckpt-5": {NEW}},
        always={"ckpt-2", "ckpt-4"},
        latest={4, NEW},
        at_end={"ckpt-2": 2, "ckpt-4": 4, "ckpt-5": NEW},
        next=lambda: go_on(AGAIN, 6),
        manifests="always" if key else "never",
    )


def saver_max_to_keep():
    def act():
        variable = cp.Variable(np.full(700, 1, np.int32), name="v")
        saver = cp.Saver([variable], max_to_keep=2)
        for number in (1, 2, 3):
            variable.assign(np.full(700, number, np.int32))
            saver.save(f"{DIRECTORY}/ck", number)

    return Case(
        prepare=lambda: None,
        act=act,
        allowed={"ck-1": {1}, "ck-2": {2}, "ck-3": {3}},
        latest={None, 1, 2, 3},
        at_end={"ck-2": 2, "ck-3": 3},
        next=act,
        orphans=True,
    )


def rename(overwritten):
    def prepare():
        program(NEW).write(f"{DIRECTORY}/ck")
        if overwritten:
            program(1).write(f"{DIRECTORY}/to")

    def act():
        rename_checkpoint(f"{DIRECTORY}/ck", f"{DIRECTORY}/to", {"v": "w"}, overwrite=overwritten)

    def again():
        return rename_checkpoint(f"{DIRECTORY}/ck", f"{DIRECTORY}/to", {"v": "w"}, overwrite=True)

    return Case(
        prepare=prepare,
        act=act,
        allowed={"ck": {NEW}, "to": {1, NEW} if overwritten else {NEW}},
        always={"ck", "to"} if overwritten else {"ck"},
        latest={1, NEW},
        at_end={"ck": NEW, "to": NEW},
        next=again,
    )


def flushed():
    """Without syncs a loss of power may take everything, but gives nothing wrong."""

    def write(value):
        checkpoint = set_to(program(), value)
        checkpoint.write(f"{DIRECTORY}/ck", durability="flush")

    return Case(
        prepare=lambda: write(1),
        act=lambda: write(NEW),
        allowed={"ck": {1, NEW}},
        latest={1, NEW},
        at_end={"ck": NEW},
        damage=True,
    )


def several_chunks():
    """A value that is written in several operations, by several threads."""

    def write(value):
        array = np.full(600_000, value, np.int32)
        cp.CheckpointableSaver(cp.Checkpoint(v=cp.Variable(array))).save(f"{DIRECTORY}/ck")

    return Case(
        prepare=lambda: write(1),
        act=lambda: write(NEW),
        allowed={"ck": {1, NEW}},
        always={"ck"},
        latest={1, NEW},
        at_end={"ck": NEW},
    )


def reencode():
    def act(overwrite=False):
        return reencode_checkpoint(f"{DIRECTORY}/by_name", f"{DIRECTORY}/to", overwrite=overwrite)

    def prepare():
        variable = cp.Variable(np.full(700, NEW, np.int32), name="v")
        cp.Saver([variable]).save(f"{DIRECTORY}/by_name")

    return Case(
        prepare=prepare,
        act=act,
        allowed={"by_name": {NEW}, "to": {NEW}},
        always={"by_name"},
        latest={NEW},
        at_end={"by_name": NEW, "to": NEW},
        next=lambda: act(overwrite=True),
    )


OF_SAVES = {
    "first save": first_save,
    "next save": next_save,
    "overwrite, one shard": lambda: overwrite(1),
    "overwrite, two shards": lambda: overwrite(2),
    "overwrite, three shards": three_shards,
    "a directory that nobody synced": own_directory,
    "manager, with deletion": manager_save,
    "Saver, max_to_keep": saver_max_to_keep,
    "rename_checkpoint": lambda: rename(overwritten=False),
    "rename_checkpoint over another": lambda: rename(overwritten=True),
    "reencode_checkpoint": reencode,
    "flush": flushed,
}
OF_LARGE = {"several chunks": several_chunks}  # in `make torture` only
