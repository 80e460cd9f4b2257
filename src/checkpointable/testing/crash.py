"""Runs a program once per operation, stops it there, and yields the disks that may remain."""

from __future__ import annotations

import itertools
import random as _random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from checkpointable.storage import Storage, use_storage
from checkpointable.testing.disk import LOST, TORN, Change
from checkpointable.testing.memory import MemoryStorage
from checkpointable.testing.stopping import Stopped, StoppingStorage

__all__ = ["Crash", "crashes", "losses"]

_ALL_UP_TO = 10
_TORN_ONE_IN = 4


class Crash(NamedTuple):
    """A disk after a crash.

    Attributes:
      operation: index of the operation at which the program stopped, counted from 0; the
        number of operations if the program finished.
      finished: whether the program finished and the crash came right afterwards.
      disk: the disk that remains. Equal disks of one operation are yielded once.
      lost: the changes that did not reach the disk, as for `MemoryStorage.after_power_cut`.
      tried: number of combinations tried so far, including those that led to equal disks.
    """

    operation: int
    finished: bool
    disk: MemoryStorage
    lost: dict[int, str]
    tried: int


def losses(
    changes: Sequence[Change], *, random: int = 1000, seed: int = 0
) -> Iterator[dict[int, str]]:
    """Yields combinations of changes that a crash may lose.

    For up to ten changes these are all combinations. For more they are: none, each change,
    each pair, each suffix of the list, and random combinations. Each write is also torn once.

    Args:
      changes: the changes that are not durable, oldest first.
      random: number of random combinations for more than ten changes.
      seed: seed of the random combinations.
    """
    everything = range(len(changes))
    writes = [number for number in everything if changes[number].kind == "write"]
    yield from ({number: TORN} for number in writes)
    if len(changes) <= _ALL_UP_TO:
        for count in range(len(changes) + 1):
            for lost in itertools.combinations(everything, count):
                yield dict.fromkeys(lost, LOST)
        return
    yield {}
    yield from ({number: LOST} for number in everything)
    yield from (dict.fromkeys(pair, LOST) for pair in itertools.combinations(everything, 2))
    yield from (dict.fromkeys(everything[start:], LOST) for start in range(len(changes) - 2))
    chance = _random.Random(seed)  # noqa: S311 - no secret
    for _ in range(random):
        fates = {number: LOST for number in everything if chance.getrandbits(1)}
        for number in writes:
            if chance.randrange(_TORN_ONE_IN) == 0:
                fates[number] = TORN
        yield fates


def crashes(
    disk: MemoryStorage,
    program: Callable[[Storage], object],
    *,
    power: bool = True,
    random: int = 1000,
    seed: int = 0,
    operations: Callable[[int], bool] = lambda _number: True,
) -> Iterator[Crash]:
    """Runs a program repeatedly, stops it at each operation, and yields the disks that remain.

    Example:
        for crash in crashes(disk, lambda storage: checkpoint.save("/runs/a/ckpt")):
            with use_storage(crash.disk):
                assert cp.latest_checkpoint("/runs/a") is not None

    Args:
      disk: the disk before the program runs; not changed.
      program: called with the storage, which is also the default storage while it runs.
      power: True: the machine loses power, and unsynced changes may be lost. False: only the
        process dies, and nothing is lost.
      random, seed: as for `losses`.
      operations: returns whether to crash at the operation of an index; by default at each.
    """
    tried = 0
    for number in itertools.count():
        before = disk.copy()
        storage = StoppingStorage(number, before)
        finished = False
        try:
            with use_storage(storage):
                program(storage)
            finished = not storage.stopped
        except Stopped:
            pass
        if not finished and not operations(number):
            continue
        seen = set()
        combinations: Iterator[dict[int, str]] = iter([{}])
        if power:
            combinations = losses(before.unsynced, random=random, seed=seed + number)
        for lost in combinations:
            tried += 1
            remaining = before.after_power_cut(lost)
            key = hash(tuple(remaining.contents().items()))
            if key not in seen:
                seen.add(key)
                yield Crash(number, finished, remaining, lost, tried)
        if finished:
            return
