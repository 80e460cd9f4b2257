"""A bit of a file is flipped: whoever reads it says so, and which value is concerned."""

from __future__ import annotations

import logging
import random
from typing import NamedTuple

import numpy as np

import checkpointable as cp
from checkpointable.bundle import BundleReader
from checkpointable.manager.history import History
from checkpointable.storage import use_storage
from checkpointable.testing import MemoryStorage

DIRECTORY = "/runs/a"
INDEX = "ckpt-2.index"
DATA = "ckpt-2.data-00000-of-00001"
STATE = "checkpoint"
HISTORY = "checkpoint.history.json"


class Flips(NamedTuple):
    """How many bits were flipped, found by restore (or the latest, the history), by verify,
    named with their value's key, and how many changed nothing.
    """

    bits: int = 0
    found: int = 0
    verified: int = 0
    named: int = 0
    harmless: int = 0

    def __add__(self, other):
        return Flips(*(a + b for a, b in zip(self, other, strict=True)))


class Net(cp.Checkpointable):
    def __init__(self, size):
        self.kernel = cp.Variable(np.zeros((size, 3), np.float32))
        self.bias = cp.Variable(np.zeros(3, np.int16))
        self.names = cp.Variable(np.array([b"", b""], object), dtype="string")
        self.empty = cp.Variable(np.zeros((0, 4)))


class Slots(cp.Optimizer):
    def __init__(self, net):
        self.rate = cp.Variable(np.float64(0))
        self.add_slot(net.kernel, "velocity", lambda: np.zeros(net.kernel.shape))


def program(size, value=0):
    net = Net(size)
    checkpoint = cp.Checkpoint(
        net=net,
        optimizer=Slots(net),
        position=cp.JSONState({"at": value}),
        random=cp.NumpyRandomState(np.random.default_rng(value)),
    )
    assert int(checkpoint.save_counter) == 0
    if value:
        net.kernel.assign(np.arange(size * 3, dtype=np.float32).reshape(size, 3) + value)
        net.bias.assign(np.arange(3, dtype=np.int16) + value)
        net.names.assign(np.array([b"a name", b"%d" % value], object))
        checkpoint.optimizer.rate.assign(value / 3)
        velocity = checkpoint.optimizer.get_slot(net.kernel, "velocity")
        velocity.assign(np.full((size, 3), value))
    return checkpoint


def state_of(checkpoint):
    """All that a program holds, to be compared."""
    net = checkpoint.net
    return (
        *(v.numpy().tobytes() for v in (net.kernel, net.bias, checkpoint.optimizer.rate)),
        *net.names.numpy().tolist(),
        checkpoint.optimizer.get_slot(net.kernel, "velocity").numpy().tobytes(),
        checkpoint.position["at"],
        repr(checkpoint.random.generator.bit_generator.state),
        int(checkpoint.save_counter),
    )


class Sweep:
    """A directory with two checkpoints of a manager, whose files are damaged bit by bit."""

    def __init__(self, size=4):
        self.size = size
        self.disk = MemoryStorage()
        with use_storage(self.disk):
            manager = cp.CheckpointManager(program(size, 1), DIRECTORY, 3, best=("loss", "min", 1))
            manager.save(metrics={"loss": 2.5})
            manager.save(metrics={"loss": 3.5})
            # Not the newest: so that what is found by looking around differs from what is named.
            manager.save(metrics={"loss": 4.5})
            cp.update_checkpoint_state(DIRECTORY, f"{DIRECTORY}/ckpt-2")
            self.history = self._history()
            self.places = self._places()
        self.untouched = state_of(program(size))

    def contents(self, name):
        return self.disk.contents()[f"{DIRECTORY}/{name}"]

    def _history(self):
        return History(DIRECTORY, "ckpt", 4e9).written

    def _places(self):
        """(start, end, key) of every value in the data file."""
        with BundleReader(f"{DIRECTORY}/ckpt-2") as reader:
            entries = [(key, reader.entry(key)) for key in reader.keys()]
        return sorted((e.offset, e.offset + e.size, key) for key, e in entries if e.size)

    def key_at(self, offset):
        return next((key for start, end, key in self.places if start <= offset < end), None)

    def flip(self, name, offset, bit):
        """What becomes of a flipped bit."""
        path = f"{DIRECTORY}/{name}"
        self.disk.flip(path, offset, bit)
        try:
            with use_storage(self.disk):
                if name in {INDEX, DATA}:
                    return self._damaged_values(path, offset)
                if name == STATE:
                    return self._damaged_state()
                return self._damaged_history()
        except BaseException as error:
            raise AssertionError(f"{name}, offset {offset}, bit {bit}: {error}") from error
        finally:
            self.disk.flip(path, offset, bit)

    def _damaged_values(self, path, offset):
        expected = self.key_at(offset) if path.endswith(DATA) else None
        checkpoint = program(self.size)
        found = None
        try:
            checkpoint.restore(f"{DIRECTORY}/ckpt-2")
        except (cp.CheckpointCorruptError, cp.CheckpointUnsupportedError) as error:
            found = error
        assert found is not None, "restore says nothing"
        assert state_of(checkpoint) == self.untouched, "something was assigned"
        assert found.path in {path, f"{DIRECTORY}/ckpt-2"}
        assert found.key == expected or expected is None
        try:
            with BundleReader(f"{DIRECTORY}/ckpt-2", damaged=True) as reader:
                damages = [(damage.path, damage.key) for damage in reader.verify()]
            assert damages == [(path, expected)]
        except (cp.CheckpointCorruptError, cp.CheckpointUnsupportedError):
            assert path.endswith(INDEX)
        return Flips(1, 1, 1, int(expected is not None))

    def _damaged_state(self):
        with _Warnings() as warnings:
            latest = cp.latest_checkpoint(DIRECTORY)
        if warnings.seen:
            # The one that it names, if there is such a one, else the newest that is whole.
            assert latest in {f"{DIRECTORY}/ckpt-2", f"{DIRECTORY}/ckpt-3"}
            return Flips(1, 1, 1)
        assert latest == f"{DIRECTORY}/ckpt-2", latest
        state = cp.get_checkpoint_state(DIRECTORY)
        assert state.all_model_checkpoint_paths == [latest]
        return Flips(1, harmless=1)

    def _damaged_history(self):
        with _Warnings() as warnings:
            written = self._history()
        if warnings.seen:
            assert not written
            return Flips(1, 1, 1)
        assert written == self.history
        return Flips(1, harmless=1)


class _Warnings(logging.Handler):
    """What the library logs."""

    def __enter__(self):
        self.seen = []
        self._logger = logging.getLogger("checkpointable")
        self._logger.addHandler(self)
        self._propagated, self._logger.propagate = self._logger.propagate, False
        self._level = self._logger.level  # `make torture` keeps it quiet
        self._logger.setLevel(logging.WARNING)
        return self

    def __exit__(self, *_):
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated
        self._logger.setLevel(self._level)

    def emit(self, record):
        self.seen.append(record.getMessage())


def every_bit(sweep, name):
    """All bits of a file."""
    return sum(
        (
            sweep.flip(name, offset, bit)
            for offset in range(len(sweep.contents(name)))
            for bit in range(8)
        ),
        Flips(),
    )


def a_bit_of_every_byte(sweep, name, seed=0, step=1):
    """One bit of every byte, or of every so many, chosen at random."""
    chance = random.Random(seed)
    return sum(
        (
            sweep.flip(name, offset, chance.randrange(8))
            for offset in range(0, len(sweep.contents(name)), step)
        ),
        Flips(),
    )


def sampled(sweep, name, count, seed=0):
    """So many bits anywhere in a file."""
    chance = random.Random(seed)
    size = len(sweep.contents(name))
    return sum(
        (sweep.flip(name, chance.randrange(size), chance.randrange(8)) for _ in range(count)),
        Flips(),
    )
