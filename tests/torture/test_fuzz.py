"""Mutated inputs are read or refused by an error of ours, with nothing changed."""

from __future__ import annotations

import logging

import pytest

from tests.torture.fuzz import TARGETS, Fuzz
from tests.torture.measure import works
from tests.torture.torch_files import good

INPUTS = 60


@pytest.fixture(scope="module")
def fuzz():
    return Fuzz()


def test_what_is_not_changed_is_read(fuzz):
    from checkpointable.storage import use_storage

    with use_storage(fuzz.good.copy()) as fuzz.disk:
        assert fuzz.read_bundle() == 0
        assert fuzz.read_directory() == 0
    for legacy in (False, True):
        path = f"{fuzz.directory}/good.pt"
        with open(path, "wb") as file:
            file.write(good(legacy=legacy))
        assert fuzz.read_torch(path) == 0


def test_memory_is_measured():
    """Or what it says of every input would be nothing: the bound is checked in `once`."""
    assert works()


def test_memory_that_the_allocator_had_kept_is_measured_too():
    small = [bytearray(1000) for _ in range(300_000)]
    last = bytearray(1000)  # what lies before it cannot be given back by itself
    del small
    assert works()
    assert last


@pytest.mark.parametrize("target", TARGETS)
def test_mutations(target, fuzz, caplog):
    caplog.set_level(logging.CRITICAL)
    refused = sum(bool(fuzz.once(target, seed)) for seed in range(INPUTS))
    print(target, INPUTS, "inputs,", refused, "refused, at most", fuzz.peak, "bytes of memory")
    assert refused > INPUTS / 3 or target == "of_history"


# -- what was found, and is repaired ---------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "seed"),
    [
        ("of_history", 160),  # a fate that is a list: TypeError from a manager's constructor
        ("of_graph", 2390),  # an optimizer that is a slot of its own: recursion without an end
    ],
)
def test_inputs_that_were_too_much_once(target, seed, fuzz):
    fuzz.once(target, seed)
