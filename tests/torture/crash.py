"""Programs stopped at every operation, and what must be true of what is found then."""

from __future__ import annotations

import itertools
import random as _random
import zlib
from typing import NamedTuple

import checkpointable as cp
from checkpointable.directory.latest import is_whole, list_checkpoints
from checkpointable.maintenance.strays import stray_manifests
from checkpointable.storage import temporary_of, use_storage
from checkpointable.testing import MemoryStorage, Stopped, StoppingStorage, crashes, losses
from tests.torture.async_cases import OF_ASYNC, OF_ASYNC_LARGE
from tests.torture.cases import AGAIN, DIRECTORY, OF_LARGE, OF_SAVES, program
from tests.torture.directory_cases import OF_DIRECTORIES
from tests.torture.signed_cases import OF_SIGNED, check_manifest

CASES = {**OF_SAVES, **OF_ASYNC, **OF_DIRECTORIES, **OF_SIGNED}
LARGE = {**OF_LARGE, **OF_ASYNC_LARGE}  # in `make torture` only
TWICE = [
    *(
        "next save",
        "overwrite, one shard",
        "overwrite, two shards",
        "a directory that nobody synced",
    ),
    *("manager, with deletion", "rename_checkpoint over another"),
    *("asynchronous, overwrite", "asynchronous, manager, two in a row"),
]


class Figures(NamedTuple):
    """What a test has tried."""

    operations: int = 0
    crashes: int = 0
    disks: int = 0

    def __add__(self, other):
        return Figures(*(a + b for a, b in zip(self, other, strict=True)))


def held(path, storage):
    """The value that a checkpoint holds, every byte of it verified."""
    with cp.load_checkpoint(path) as reader:
        assert reader.verify() == [], path
        key = next(key for key in reader.keys() if key.partition("/")[0] in {"v", "w"})
        array = reader.get_tensor(key)
    assert (array == array[0]).all()
    return int(array[0])


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
    values = {name: value_of(case, name, path, crash.disk) for name, path in found.items()}
    for name, value in values.items():
        assert value in case.allowed[name] or (value is None and name in case.broken), (name, value)
        if name not in case.broken:
            check_manifest(case, found[name], crash.finished)
    assert case.always <= values.keys(), values
    latest = cp.latest_checkpoint(DIRECTORY)
    if latest is None or not found:  # not found: the V1 file
        assert not found
        assert None in case.latest
    else:
        assert is_whole(latest)
        assert values[latest.rpartition("/")[2]] in case.latest
    if crash.finished:
        assert {name: values[name] for name in case.at_end} == case.at_end
        if len(case.latest) > 1:
            assert values[latest.rpartition("/")[2]] == max(case.at_end.values())


def value_of(case, name, path, storage):
    """What a checkpoint holds; None of one that was damaged from the start, and still is."""
    if name not in case.broken:
        return held(path, storage)
    with cp.load_checkpoint(path) as reader:
        damaged = bool(reader.verify())
    return None if damaged else held(path, storage)


def check_going_on(case, disk):
    """The next save finds its way, and takes away what the crash has left."""
    case.next()
    names = disk.list(DIRECTORY)
    assert not [name for name in names if temporary_of(name)], names
    for path in list_checkpoints(DIRECTORY):
        value_of(case, path.rpartition("/")[2], path, disk)
    if not case.orphans:
        indexes = {name.removesuffix(".index") for name in names if name.endswith(".index")}
        data = {name.partition(".data-")[0] for name in names if ".data-" in name}
        assert data == indexes, names
        assert stray_manifests(DIRECTORY, names) == [], names


def reduced(name):
    """Which crashes `make test` tries: all operations, few random combinations."""
    return {"random": 20, "seed": zlib.crc32(name.encode()), "go_on": 10}


# -- the process, and then the machine -----------------------------------------------------


def run_twice(case, *, share=1.0, random=100, seed=0):
    """The process ends at an operation, another goes on, and then the power goes.

    What the first left undone is not durable yet when the second begins.

    Args:
      share: of the pairs of operations, as chance chooses them.
    """
    chance = _random.Random(seed)
    disk = MemoryStorage()
    disk.make_directories("/runs")
    with use_storage(disk):
        case.prepare()
    disk.make_durable()
    tried = disks = 0
    for first in itertools.count():
        went_through = False
        for second in itertools.count():
            if chance.random() >= share and second:
                continue
            before = disk.copy()
            went_through = _stopped_at(first, before, case.act)
            saved = []
            ended = _stopped_at(second, before, lambda saved=saved: saved.append(case.next()))
            for lost in losses(before.unsynced, random=random, seed=seed + first * 1000 + second):
                tried += 1
                found = before.after_power_cut(lost)
                with use_storage(found):
                    try:
                        check_twice(case, found, saved)
                    except Exception as error:
                        where = f"operations {first} and {second}, lost {lost}"
                        raise AssertionError(f"{where}: {error}") from error
                disks += 1
            if ended:
                break
        if went_through:
            break
    return Figures(first, tried, disks)


def _stopped_at(number, disk, program):
    """Runs a program until an operation; whether it went through."""
    storage = StoppingStorage(number, disk)
    try:
        with use_storage(storage):
            program()
    except Stopped:
        pass
    return not storage.stopped


def check_twice(case, disk, saved):
    values = {
        path: value_of(case, path.rpartition("/")[2], path, disk)
        for path in list_checkpoints(DIRECTORY)
    }
    anything = {AGAIN, *itertools.chain(*case.allowed.values())}
    assert set(values.values()) <= anything, values
    for path in saved:
        # What a save has returned is there: promise 1.
        assert path in values, (path, values)
        assert cp.latest_checkpoint(DIRECTORY) in values
    if case.always or saved:
        assert cp.latest_checkpoint(DIRECTORY) is not None
