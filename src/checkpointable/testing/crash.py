"""What a crash at any operation leaves: a program, stopped at each, and the disks found then."""

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
    """A disk as it is found after a crash.

    Attributes:
      operation: the number of the one at which the program stopped, from 0; if it went
        through, how many there were.
      finished: whether it went through, and the crash came right after.
      disk: what is found; equal ones of the same operation are given once.
      lost: what had not reached the disk, as `MemoryStorage.after_power_cut` takes it.
      tried: how many combinations were tried so far, equal ones included.
    """

    operation: int
    finished: bool
    disk: MemoryStorage
    lost: dict[int, str]
    tried: int


def losses(
    changes: Sequence[Change], *, random: int = 1000, seed: int = 0
) -> Iterator[dict[int, str]]:
    """What may be lost of changes that are not durable: combinations of them.

    Of up to ten changes all combinations; beyond that none, all, every single one, every
    pair, all that end the list, and random ones. Every write is also torn once.

    Args:
      random: how many random combinations, of more than ten changes.
      seed: of the random ones.
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
    """Runs a program again and again, stopped at each operation, and gives what is found.

        for crash in crashes(disk, lambda storage: checkpoint.save("/runs/a/ckpt")):
            with use_storage(crash.disk):
                assert cp.latest_checkpoint("/runs/a") is not None

    Args:
      disk: what is there before; stays as it is.
      program: called with the storage, which is also the default one while it runs.
      power: the machine goes down, and what was not synced may be lost; False: only the
        process ends, and nothing is.
      random, seed: as in `losses`.
      operations: which of them are tried.
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
            found = before.after_power_cut(lost)
            key = hash(tuple(found.contents().items()))
            if key not in seen:
                seen.add(key)
                yield Crash(number, finished, found, lost, tried)
        if finished:
            return
