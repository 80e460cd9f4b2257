"""A BERT of PyTorch with the state of Adam, beside `torch.save` and `torch.load`.

Everything restored is compared with what was saved before any time is taken.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import checkpointable as cp

from .timing import Contender, Result, in_turn

WORK = "BERT with Adam, 1.3 GB"
OURS, SYNCED, TORCH = "ours", "ours, synced", "PyTorch"


def model(layers: int, words: int) -> Any:
    """BERT base's parameters: 110 million in twelve layers."""
    import torch
    from torch import nn

    width = 768
    net = nn.Module()
    net.embeddings = nn.ModuleDict(
        {
            "word": nn.Embedding(words, width),
            "position": nn.Embedding(512, width),
            "segment": nn.Embedding(2, width),
            "norm": nn.LayerNorm(width),
        }
    )
    layer = partial(nn.TransformerEncoderLayer, width, 12, 3072, activation="gelu")
    net.encoder = nn.ModuleList(layer() for _ in range(layers))
    net.pooler = nn.Linear(width, width)
    assert layers < 12 or 109e6 < sum(p.numel() for p in net.parameters()) < 111e6
    torch.manual_seed(0)
    return net


class Program:
    """A model and its optimizer, which has stepped once."""

    def __init__(self, layers: int, words: int) -> None:
        import torch

        self.model = model(layers, words)
        self.forget()
        for parameter in self.model.parameters():
            parameter.grad = torch.rand_like(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def forget(self) -> None:
        """A new optimizer: that of a program that starts again."""
        import torch

        self.optimizer = torch.optim.Adam(self.model.parameters())

    def states(self) -> list[Any]:
        """Copies of everything that is saved, in a fixed order."""
        slots = [self.optimizer.state[parameter] for parameter in self.model.parameters()]
        return [
            tensor.detach().clone()
            for group in (self.model.state_dict(), *slots)
            for _, tensor in sorted(group.items())
        ]


def save_ours(program: Program, path: Path, durability: Any) -> None:
    checkpoint = cp.Checkpoint(model=program.model, optimizer=program.optimizer)
    checkpoint.write(path, durability=durability)


def restore_ours(program: Program, path: Path) -> None:
    cp.Checkpoint(model=program.model, optimizer=program.optimizer).read(path).assert_consumed()


def save_torch(program: Program, path: Path) -> None:
    import torch

    state = {"model": program.model.state_dict(), "optimizer": program.optimizer.state_dict()}
    torch.save(state, path)


def restore_torch(program: Program, path: Path) -> None:
    import torch

    state = torch.load(path)
    program.model.load_state_dict(state["model"])
    program.optimizer.load_state_dict(state["optimizer"])


def check(program: Program, ours: Path, theirs: Path) -> None:
    """Raises unless either gives back every tensor."""
    import torch

    expected = program.states()
    for restore in (partial(restore_ours, path=ours), partial(restore_torch, path=theirs)):
        program.forget()
        with torch.no_grad():
            for parameter in program.model.parameters():
                parameter.zero_()
        restore(program)
        if not all(map(torch.equal, program.states(), expected)):
            raise AssertionError(f"{restore.func.__name__} restored wrong values")


def compare(
    rounds: int, scratch: Path, *, layers: int = 12, words: int = 30522, work: str = WORK
) -> Iterator[Result]:
    program = Program(layers, words)
    place = scratch / "bert"
    place.mkdir()
    ours, theirs = place / "ours", place / "theirs.pt"

    def emptied() -> None:
        shutil.rmtree(place)
        place.mkdir()

    saves = {
        OURS: Contender(emptied, partial(save_ours, program, ours, "flush")),
        SYNCED: Contender(emptied, partial(save_ours, program, ours, "fsync")),
        TORCH: Contender(emptied, partial(save_torch, program, theirs)),
    }
    yield in_turn(f"save {work}", saves, rounds, OURS)

    emptied()
    save_ours(program, ours, "flush")
    save_torch(program, theirs)
    check(program, ours, theirs)
    # Into the program that is there, as after a divergence; and as a program that starts again,
    # whose optimizer has no state yet: then either has to ask the system for its memory.
    for what, prepare in (("restore", _nothing), ("restore, new optimizer,", program.forget)):
        restores = {
            OURS: Contender(prepare, partial(restore_ours, program, ours)),
            TORCH: Contender(prepare, partial(restore_torch, program, theirs)),
        }
        yield in_turn(f"{what} {work}", restores, rounds, OURS)
    for what, new in (("restore", False), ("restore, new optimizer,", True)):
        seconds: dict[str, list[float]] = {OURS: [], TORCH: []}
        for number in range(rounds):
            for name, path in ((OURS, ours), (TORCH, theirs))[:: -1 if number % 2 else 1]:
                seconds[name].append(_in_new_process(name, path, layers, words, new=new))
        yield Result(f"{what} in a new process, {work}", seconds, OURS)
    shutil.rmtree(place)


def _in_new_process(name: str, path: Path, layers: int, words: int, *, new: bool) -> float:
    """Seconds of one restore: as it happens, once in the life of a process."""
    arguments = [name, str(path), str(layers), str(words), "new" if new else "there"]
    command = [sys.executable, "-m", __name__, *arguments]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _child(name: str, path: str, layers: str, words: str, optimizer: str) -> None:
    program = Program(int(layers), int(words))
    if optimizer == "new":
        program.forget()
    restore = {OURS: restore_ours, TORCH: restore_torch}[name]
    _ = cp.Checkpoint  # loaded, as torch is
    start = time.perf_counter()
    restore(program, Path(path))
    print(time.perf_counter() - start)


def _nothing() -> None:
    pass


if __name__ == "__main__":
    _child(*sys.argv[1:])
