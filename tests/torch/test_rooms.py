"""The rooms of the PyTorch adapters import only from rooms below."""

from __future__ import annotations

import pytest

from tests.test_imports import MODULES, _imported

ADAPTERS = "checkpointable.adapters.torch."

# Each room, and those that it may import from. A room is a folder or a module.
BELOW = {
    "private_api": set(),
    "notes": set(),
    "watch": {"private_api"},
    "tensors": {"private_api", "notes"},
    "modules": {"private_api", "notes", "watch", "tensors"},
    "optimizers": {"private_api", "notes", "watch", "tensors", "modules"},
    "find": {"tensors", "modules", "optimizers"},
}


def room(name: str) -> str:
    return name.removeprefix(ADAPTERS).partition(".")[0]


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith(ADAPTERS)])
def test_a_room_imports_only_from_the_rooms_below_it(name):
    allowed = {room(name), *BELOW[room(name)]}
    inside = [(line, to) for line, to in _imported(name) if to.startswith(ADAPTERS)]
    assert not [f"line {line}: {to}" for line, to in inside if room(to) not in allowed]


def test_no_module_imports_one_that_imports_it():
    from graphlib import TopologicalSorter

    names = [name for name in MODULES if name.startswith(ADAPTERS)]
    above = {name: {to for _, to in _imported(name) if to in names} for name in names}
    TopologicalSorter(above).prepare()  # raises if there is a cycle


def test_the_rooms_are_those_that_exist():
    assert {room(name) for name in MODULES if name.startswith(ADAPTERS)} == set(BELOW)
