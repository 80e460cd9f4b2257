"""Stopped at every operation, a save leaves what was there or what it makes, and nothing else."""

from __future__ import annotations

import pytest

from tests.torture.crash import CASES, reduced, run


@pytest.mark.parametrize("name", CASES)
def test_a_power_cut_at_every_operation(name):
    figures = run(CASES[name](), **reduced(name))
    print(name, figures)
    assert figures.operations >= 10
    assert figures.crashes > figures.disks > figures.operations


@pytest.mark.parametrize("name", CASES)
def test_a_process_that_ends_at_every_operation(name):
    figures = run(CASES[name](), power=False)
    assert figures.operations >= 10
    assert figures.disks == figures.operations + 1
