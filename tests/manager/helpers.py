"""What the tests of this folder share."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

import checkpointable as cp

HOUR = 3600.0


def program(value=0.0):
    """A small program: a checkpoint with one variable."""
    return cp.Checkpoint(v=cp.Variable(np.full(8, value, np.float32)))


def manager_of(directory, max_to_keep=3, checkpoint=None, **options):
    return cp.CheckpointManager(checkpoint or program(), str(directory), max_to_keep, **options)


def save(manager, **arguments):
    """Saves without waiting for the disk, and moves the name alone into sight."""
    path = manager.save(durability="flush", **arguments)
    return None if path is None else os.path.basename(path)


def names(paths):
    return [os.path.basename(path) for path in paths]


def on_disk(directory) -> list[str]:
    """The checkpoints with an index, by number; every one of them must be whole."""
    found = []
    for index in Path(directory).glob("*.index"):
        with cp.load_checkpoint(index) as reader:
            assert reader.verify() == []
        found.append(index.name.removesuffix(".index"))
    return sorted(found, key=lambda name: (len(name), name))


def data_files(directory) -> set[str]:
    """The checkpoints that have data files."""
    return {re.sub(r"\.data-.*", "", path.name) for path in Path(directory).glob("*.data-*")}


def flip(path, offset=-1):
    """Damages one byte of a file."""
    data = bytearray(Path(path).read_bytes())
    data[offset] ^= 0xFF
    Path(path).write_bytes(data)
