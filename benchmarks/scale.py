"""The same program in three sizes: what is not linear shows."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

import checkpointable as cp

SIZES = (1_000, 10_000, 100_000)


@dataclass(frozen=True)
class Step:
    """Microseconds of processor time for each value, the best of some runs."""

    what: str
    per_value: dict[int, float]


class _Unit(cp.Checkpointable):
    def __init__(self, value: float) -> None:
        self.v = cp.Variable(np.float32(value))


def steps(sizes: tuple[int, ...], scratch: Path) -> Iterator[Step]:
    measured: dict[str, dict[int, float]] = {}
    for size in sizes:
        checkpoint = cp.Checkpoint(units=[_Unit(i) for i in range(size)])
        path = scratch / f"scale-{size}"
        for what, run in _runs(checkpoint, path).items():
            measured.setdefault(what, {})[size] = _best(run, 5 if size < 50_000 else 2) / size
    for what, per_value in measured.items():
        yield Step(what, per_value)


def _runs(checkpoint: cp.Checkpoint, path: Path) -> dict[str, Callable[[], object]]:
    def list_values() -> None:
        from checkpointable.cli import main

        arguments = ["checkpointable", "ls", str(path), "--json"]
        with (
            mock.patch("sys.argv", arguments),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.suppress(SystemExit),
        ):
            main()

    return {
        "save": lambda: checkpoint.write(path, durability="flush"),
        "restore": lambda: checkpoint.read(path),
        "restore, assert_consumed": lambda: checkpoint.read(path).assert_consumed(),
        "report": lambda: checkpoint.read(path).report(),
        "checkpointable ls": list_values,
    }


def _best(run: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found) * 1e6
