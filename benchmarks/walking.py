"""Finding all objects of a module: beside PyTorch's own way through it."""

from __future__ import annotations

from collections.abc import Iterator

from checkpointable.graph.registry import adapter_of
from checkpointable.graph.walk import walk

from .timing import Contender, Result, in_turn

OURS = "ours"


def compare(count: int, rounds: int) -> Iterator[Result]:
    from torch import nn

    net = nn.Sequential(*(nn.Linear(1, 1) for _ in range(count // 2)))
    found = walk(net, adapter_of)
    assert sum(isinstance(obj, nn.Parameter) for obj in found.objects) == count
    contenders = {
        OURS: Contender(_nothing, lambda: walk(net, adapter_of)),
        "state_dict()": Contender(_nothing, net.state_dict),
    }
    yield in_turn(f"walk a module of {count:,} parameters", contenders, rounds, OURS)


def _nothing() -> None:
    pass
