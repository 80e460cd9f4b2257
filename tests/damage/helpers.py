"""A small program with every kind of value, and ways to spoil its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import checkpointable as cp

DATA = ".data-00000-of-00001"


class Counter(cp.PythonState):
    def __init__(self, count: int) -> None:
        self.count = count

    def serialize(self) -> str:
        return str(self.count)

    def deserialize(self, string_value: bytes) -> None:
        self.count = int(string_value)


def program(filler: int) -> cp.Checkpointable:
    """Numbers, strings, Python state, a slot; a gap between values in the file."""
    root = cp.Checkpointable()
    root.a = cp.Variable(np.full(3, filler, np.int8))
    root.b = cp.Variable(np.full((2, 2), filler, np.float64))
    root.items = [cp.Variable([b"x" * filler, b"", "ü"]), cp.Variable(np.zeros((0, 3)))]
    root.state = Counter(filler)
    root.opt = cp.Optimizer()
    root.opt.add_slot(root.a, "m", np.float32(filler))
    return root


def contents(root: Any) -> tuple[Any, ...]:
    """All that a restore may change."""
    slot = root.opt.get_slot(root.a, "m")
    return (
        root.a.numpy().tolist(),
        root.b.numpy().tolist(),
        root.items[0].numpy().tolist(),
        root.state.count,
        None if slot is None else float(slot),
    )


def save(root: Any, prefix: Any) -> str:
    return cp.CheckpointableSaver(root).save(prefix, durability="flush")


def restore(root: Any, prefix: Any, **keywords: Any) -> Any:
    return cp.CheckpointableSaver(root).restore(str(prefix), **keywords)


def read_everything(prefix: Any) -> dict[str, Any]:
    """What the readers say; equal for equal checkpoints."""
    with cp.load_checkpoint(prefix) as reader:
        return {
            key: (str(reader.dtype(key)), reader.shape(key), _plain(reader.get_tensor(key)))
            for key in reader.keys()
        }


def _plain(value: Any) -> Any:
    return value if isinstance(value, bytes) else value.tolist()


def flip(path: Path, position: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)
