"""Taking times in turn, and comparing them pair by pair.

Machines drift: a disk fills its cache, a neighbour wakes up. So contenders run in turn
(A B C, B C A, C A B, …), and only times of the same round are compared.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some figures."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        return cls(statistics.median(figures), min(figures), max(figures))


@dataclass(frozen=True)
class Result:
    """Seconds of each contender by round, `ours` among them; of slow ones the first rounds."""

    work: str
    seconds: Mapping[str, list[float]]
    ours: str

    def spread(self, name: str) -> Spread:
        return Spread.of(self.seconds[name])

    def ratio(self, peer: str, own: str | None = None) -> Spread:
        """How many times as fast as `peer` we are (its time by ours), round by round.

        Args:
          own: another contender than `ours` in its place.
        """
        pairs = zip(self.seconds[peer], self.seconds[own or self.ours], strict=False)
        return Spread.of([theirs / ours for theirs, ours in pairs])


@dataclass(frozen=True)
class Contender:
    """`prepare` is not timed; `run` is."""

    prepare: Callable[[], object]
    run: Callable[[], object]


# One that takes longer, in seconds, runs in the first rounds alone.
_SLOW, _SLOW_ROUNDS = 5.0, 3


def in_turn(work: str, contenders: Mapping[str, Contender], rounds: int, ours: str) -> Result:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(rounds):
        for name in order:
            if number >= _SLOW_ROUNDS and min(seconds[name]) > _SLOW:
                continue
            contenders[name].prepare()
            gc.collect()
            if hasattr(os, "sync"):
                os.sync()  # nobody pays for what another has written
            start = time.perf_counter()
            contenders[name].run()
            seconds[name].append(time.perf_counter() - start)
        order.append(order.pop(0))
    return Result(work, seconds, ours)
