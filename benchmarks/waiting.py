"""How long an asynchronous save keeps its caller: beside one copy of as many bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import checkpointable as cp

from .timing import Contender, Result, in_turn

OURS, COPY = "save_async", "one numpy.copyto"


class _Waiting:
    def __init__(self, megabytes: int, scratch: Path) -> None:
        rng = np.random.default_rng(0)
        count, size = 8, megabytes * 10**6 // 8
        self._variables = [cp.Variable(rng.integers(0, 255, size, np.uint8)) for _ in range(count)]
        self._checkpoint = cp.Checkpoint(
            **{f"v{i}": variable for i, variable in enumerate(self._variables)}
        )
        self._source = rng.integers(0, 255, count * size, np.uint8)
        self._target = np.zeros_like(self._source)
        self._target[...] = self._source  # its pages are there
        self._directory = scratch / "waiting"
        self._saves: list[cp.SaveHandle] = []

    def finish(self) -> None:
        """Waits for what is under way, and checks what it wrote."""
        for handle in self._saves:
            with cp.load_checkpoint(handle.result()) as reader:
                for i, variable in enumerate(self._variables):
                    stored = reader.get_tensor(f"v{i}/.ATTRIBUTES/VARIABLE_VALUE")
                    if not np.array_equal(stored, variable.numpy()):
                        raise AssertionError("an asynchronous save wrote something else")
        self._saves = []
        shutil.rmtree(self._directory, ignore_errors=True)

    def save(self) -> None:
        path = self._directory / "ck"
        self._saves.append(
            self._checkpoint.write_async(path, durability="flush")  # type: ignore[arg-type]
        )

    def copy(self) -> None:
        np.copyto(self._target, self._source)


def compare(megabytes: int, rounds: int, scratch: Path) -> Iterator[Result]:
    waiting = _Waiting(megabytes, scratch)
    waiting.save()  # the memory for the copies is there from the second save on
    waiting.finish()
    contenders = {
        OURS: Contender(waiting.finish, waiting.save),
        COPY: Contender(waiting.finish, waiting.copy),
    }
    yield in_turn(f"the caller's wait, {megabytes:,} MB in 8 values", contenders, rounds, OURS)
    waiting.finish()
