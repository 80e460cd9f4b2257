"""Threads that ask for the notes of one object of PyTorch at the same time get the same notes."""

from __future__ import annotations

import copy

import pytest
import torch

from checkpointable.graph.registry import adapter_of
from tests.threads import at_the_same_time, slow_notes

TIMES = 20


def an_optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))])


def an_lbfgs():
    return torch.optim.LBFGS([torch.nn.Parameter(torch.zeros(2))])


ORIGINALS = []  # that are alive, so that a copy must not take over what is theirs


def a_copy():
    parameter = torch.nn.Parameter(torch.zeros(2))
    adapter_of(parameter).notes(parameter)
    ORIGINALS.append(parameter)
    return copy.copy(parameter)


def notes_of(obj):
    return adapter_of(obj).notes(obj)


@pytest.mark.parametrize(
    "make",
    [lambda: torch.zeros(2), a_copy, lambda: torch.nn.Linear(1, 1), an_optimizer],
    ids=["tensor", "copy", "module", "optimizer"],
)
def test_notes_are_made_once(make, monkeypatch):
    adapter_of(make())
    with slow_notes(monkeypatch):
        for _ in range(TIMES):
            obj = make()
            notes = at_the_same_time(lambda obj=obj: notes_of(obj))
            assert len({id(one) for one in notes}) == 1
            assert notes_of(obj) is notes[0]


@pytest.mark.parametrize("make", [an_optimizer, an_lbfgs], ids=["groups", "positions"])
def test_what_stands_for_a_part_of_an_optimizer_is_one_object(make, monkeypatch):
    def parts(optimizer):
        adapter = adapter_of(optimizer)
        groups = adapter.child(optimizer, "param_groups")
        objects = [groups, *(child for _, child in adapter_of(groups).children(groups))]
        slots = adapter.slots(optimizer)
        (parameter,) = optimizer.param_groups[0]["params"]
        objects += [slots.get(parameter, name) for name in slots.names()]
        return tuple(map(id, objects))

    parts(make())
    with slow_notes(monkeypatch):
        for _ in range(TIMES):
            optimizer = make()
            if isinstance(optimizer, torch.optim.SGD):
                (parameter,) = optimizer.param_groups[0]["params"]
                optimizer.state[parameter]["count"] = 1
            assert len(set(at_the_same_time(lambda o=optimizer: parts(o)))) == 1
