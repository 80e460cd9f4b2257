"""Programs that save, each stopped at every operation, and what must be true of what is found."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

import checkpointable as cp
from checkpointable.management import is_whole, list_checkpoints
from checkpointable.manifests import stray_manifests
from checkpointable.reencoding import reencode_checkpoint
from checkpointable.renaming import rename_checkpoint
from checkpointable.storage import temporary_of, use_storage
from checkpointable.testing import MemoryStorage, crashes

DIRECTORY = "/runs/a"
NEW = 9  # what the program under test saves; what was there before is lower
KEY = bytes(range(32))


class Figures(NamedTuple):
    """What a test has tried."""

    operations: int = 0
    crashes: int = 0
    disks: int = 0

    def __add__(self, other):
        return Figures(*(a + b for a, b in zip(self, other, strict=True)))


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
    manifests: str = "never"


def program(value=0):
    return cp.Checkpoint(
        v=cp.Variable(np.full(700, value, np.int32)), name=cp.JSONState({"value": value})
    )


def set_to(checkpoint, value):
    checkpoint.v.assign(np.full(700, value, np.int32))
    checkpoint.name["value"] = value
    return checkpoint


def held(path, storage):
    """The value that a checkpoint holds, every byte of it verified."""
    with cp.load_checkpoint(path) as reader:
        assert reader.verify() == [], path
        key = next(key for key in reader.keys() if key.partition("/")[0] in {"v", "w"})
        array = reader.get_tensor(key)
    assert (array == array[0]).all()
    return int(array[0])


# -- the programs --------------------------------------------------------------------------


def first_save():
    return Case(
        prepare=lambda: None,
        act=lambda: program(NEW).save(f"{DIRECTORY}/ckpt"),
        allowed={"ckpt-1": {NEW}},
        latest={None, NEW},
        at_end={"ckpt-1": NEW},
        next=lambda: program(8).save(f"{DIRECTORY}/ckpt"),
    )


def next_save():
    def act():
        checkpoint = program()
        checkpoint.restore(cp.latest_checkpoint(DIRECTORY))
        set_to(checkpoint, NEW).save(f"{DIRECTORY}/ckpt")

    return Case(
        prepare=lambda: program(1).save(f"{DIRECTORY}/ckpt"),
        act=act,
        allowed={"ckpt-1": {1}, "ckpt-2": {NEW}},
        always={"ckpt-1"},
        latest={1, NEW},
        at_end={"ckpt-1": 1, "ckpt-2": NEW},
        next=act,
    )


def overwrite(rounds, manifests="never"):
    """Over one or two shards.

    Args:
      manifests: as in `Case`; "maybe": the one that is there is signed, the new one is not, and
        the reverse with two rounds.
    """

    def write(value, signed):
        saver = cp.CheckpointableSaver(program(value))
        return saver.save(f"{DIRECTORY}/ck", manifest=KEY if signed else False)

    def prepare():
        for value in range(1, rounds + 1):
            write(value, signed_before)

    signed_before = manifests == "always" or (manifests == "maybe" and rounds == 1)
    signed = manifests == "always" or (manifests == "maybe" and rounds == 2)

    return Case(
        prepare=prepare,
        act=lambda: write(NEW, signed),
        allowed={"ck": {rounds, NEW}},
        always={"ck"},
        latest={rounds, NEW},
        at_end={"ck": NEW},
        next=lambda: write(8, signed),
        manifests=manifests,
    )


def signed_first_save():
    checkpoint = first_save()
    checkpoint.act = lambda: program(NEW).save(f"{DIRECTORY}/ckpt", manifest=KEY)
    checkpoint.next = lambda: program(8).save(f"{DIRECTORY}/ckpt", manifest=KEY)
    checkpoint.manifests = "always"
    return checkpoint


def signed_async_save():
    def write(value):
        saver = cp.CheckpointableSaver(program(value))
        saver.save(f"{DIRECTORY}/ck", manifest=KEY, blocking=False).result()

    case = overwrite(1, "always")
    case.act, case.next = lambda: write(NEW), lambda: write(8)
    return case


def write_manifest():
    """For a checkpoint that has none, and then one by another key in the place of the first."""

    def act():
        cp.write_manifest(f"{DIRECTORY}/ck", bytes(32))
        cp.write_manifest(f"{DIRECTORY}/ck", KEY)

    return Case(
        prepare=lambda: program(NEW).write(f"{DIRECTORY}/ck"),
        act=act,
        allowed={"ck": {NEW}},
        always={"ck"},
        latest={NEW},
        at_end={"ck": NEW},
        next=act,
        manifests="maybe",
    )


def manager_save(manifests="never"):
    """With one that is kept for its metric, one deleted, and one whose deletion goes on."""
    losses = [3, 1, 2, 5]
    manifest, key = (KEY, KEY) if manifests == "always" else (False, None)

    def manager():
        best = ("loss", "min", 1)
        return cp.CheckpointManager(program(), DIRECTORY, 2, best=best, manifest=manifest, key=key)

    def go_on(value, loss):
        own = manager()
        own.restore_or_initialize()
        set_to(own.checkpoint, value)
        own.save(metrics={"loss": loss})

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
        next=lambda: go_on(8, 6),
        manifests=manifests,
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


def rename(overwritten, signed=False):
    manifest = KEY if signed else False

    def prepare():
        program(NEW).write(f"{DIRECTORY}/ck", manifest=manifest)
        if overwritten:
            program(1).write(f"{DIRECTORY}/to", manifest=manifest)

    def act():
        rename_checkpoint(f"{DIRECTORY}/ck", f"{DIRECTORY}/to", {"v": "w"}, overwrite=overwritten)

    def again():
        rename_checkpoint(f"{DIRECTORY}/ck", f"{DIRECTORY}/to", {"v": "w"}, overwrite=True)

    return Case(
        prepare=prepare,
        act=act,
        allowed={"ck": {NEW}, "to": {1, NEW} if overwritten else {NEW}},
        always={"ck", "to"} if overwritten else {"ck"},
        latest={1, NEW},
        at_end={"ck": NEW, "to": NEW},
        next=again,
        manifests="maybe" if signed else "never",
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
        reencode_checkpoint(f"{DIRECTORY}/by_name", f"{DIRECTORY}/to", overwrite=overwrite)

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


CASES = {
    "first save": first_save,
    "next save": next_save,
    "overwrite, one shard": lambda: overwrite(1),
    "overwrite, two shards": lambda: overwrite(2),
    "manager, with deletion": manager_save,
    "Saver, max_to_keep": saver_max_to_keep,
    "rename_checkpoint": lambda: rename(overwritten=False),
    "rename_checkpoint over another": lambda: rename(overwritten=True),
    "reencode_checkpoint": reencode,
    "flush": flushed,
    "signed, first save": signed_first_save,
    "signed, overwrite, one shard": lambda: overwrite(1, "always"),
    "signed, overwrite, two shards": lambda: overwrite(2, "always"),
    "not signed over signed": lambda: overwrite(1, "maybe"),
    "signed over not signed": lambda: overwrite(2, "maybe"),
    "signed, asynchronous": signed_async_save,
    "signed, manager, with deletion": lambda: manager_save("always"),
    "write_manifest": write_manifest,
    "rename_checkpoint over a signed one": lambda: rename(overwritten=True, signed=True),
}
LARGE = {"several chunks": several_chunks}  # in `make torture` only


# -- what must be true ---------------------------------------------------------------------


def run(case, *, power=True, random=1000, seed=0, operations=lambda _n: True, go_on=1):
    """Tries a case; the figures.

    Args:
      power: the machine goes down, not only the process.
      go_on: after every so many crashes the program goes on, and saves again.
    """
    disk = MemoryStorage()
    disk.make_directories("/runs")
    with use_storage(disk):
        case.prepare()
    disk.make_durable()
    disks = 0
    crash = None
    for crash in crashes(
        disk,
        lambda _storage: case.act(),
        power=power,
        random=random,
        seed=seed,
        operations=operations,
    ):
        with use_storage(crash.disk):
            try:
                if case.damage and power:
                    check_damaged(case, crash)
                else:
                    check(case, crash)
                if disks % go_on == 0 and case.next is not None:
                    check_going_on(case, crash.disk)
            except Exception as error:
                where = f"operation {crash.operation}, lost {crash.lost}"
                raise AssertionError(f"{where}: {error}") from error
        disks += 1
    assert crash is not None
    assert crash.finished
    return Figures(crash.operation, crash.tried, disks)


def check_damaged(case, crash):
    """What has been damaged is found; what is not found damaged is right."""
    checkpoint = program()
    for path in list_checkpoints(DIRECTORY):
        try:
            checkpoint.read(path).assert_consumed()
        except (cp.CheckpointCorruptError, cp.CheckpointUnsupportedError):
            assert not checkpoint.v.numpy().any()
            continue
        value = checkpoint.name["value"]
        assert value in case.allowed["ck"]
        assert (checkpoint.v.numpy() == value).all()


def check(case, crash):
    found = {path.rpartition("/")[2]: path for path in list_checkpoints(DIRECTORY)}
    values = {name: held(path, crash.disk) for name, path in found.items()}
    for name, value in values.items():
        assert value in case.allowed[name], (name, value)
        check_manifest(case, found[name], crash.finished)
    assert case.always <= values.keys(), values
    latest = cp.latest_checkpoint(DIRECTORY)
    if latest is None:
        assert not found
        assert None in case.latest
    else:
        assert is_whole(latest)
        assert values[latest.rpartition("/")[2]] in case.latest
    if crash.finished:
        assert {name: values[name] for name in case.at_end} == case.at_end
        if None in case.latest or len(case.latest) > 1:
            assert values[latest.rpartition("/")[2]] == max(case.at_end.values())


def check_manifest(case, path, finished):
    """A checkpoint has its manifest or none, and never one that says it was tampered with."""
    refusal = ""
    try:
        cp.verify_manifest(path, KEY)
    except cp.CheckpointSignatureError as error:
        refusal = error.what
    if "another key" in refusal:
        assert not finished
        cp.verify_manifest(path, bytes(32))
    elif refusal:
        assert refusal.startswith("no manifest belongs to this checkpoint"), refusal
    assert case.manifests != ("always" if refusal else "never"), refusal


def check_going_on(case, disk):
    """The next save finds its way, and takes away what the crash has left."""
    case.next()
    names = disk.list(DIRECTORY)
    assert not [name for name in names if temporary_of(name)], names
    for path in list_checkpoints(DIRECTORY):
        held(path, disk)
    if not case.orphans:
        indexes = {name.removesuffix(".index") for name in names if name.endswith(".index")}
        data = {name.partition(".data-")[0] for name in names if ".data-" in name}
        assert data == indexes, names
        assert stray_manifests(DIRECTORY, names) == [], names


def reduced(name):
    """Which crashes `make test` tries: all operations, few random combinations."""
    return {"random": 20, "seed": zlib.crc32(name.encode()), "go_on": 10}
