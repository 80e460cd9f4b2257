"""Stopped at every operation, a program leaves what was there or what it makes, nothing else."""

from __future__ import annotations

import pytest

from tests.torture.crash import CASES, TWICE, reduced, run, run_twice

FEW = {"update_checkpoint_state"}


@pytest.mark.parametrize("name", CASES)
def test_a_power_cut_at_every_operation(name):
    figures = run(CASES[name](), **reduced(name))
    print(name, figures)
    assert figures.operations >= (5 if name in FEW else 10)
    assert figures.crashes > figures.disks > figures.operations


@pytest.mark.parametrize("name", CASES)
def test_a_process_that_ends_at_every_operation(name):
    figures = run(CASES[name](), power=False)
    assert figures.operations >= (5 if name in FEW else 10)
    assert figures.disks == figures.operations + 1


@pytest.mark.parametrize("name", TWICE)
def test_a_process_that_ends_and_a_power_cut_after_it(name):
    """What the first process left not durable does the second no harm (promise 1, 2)."""
    figures = run_twice(CASES[name](), share=0.004 if "manager" in name else 0.04, random=10)
    print(name, "twice", figures)
    assert figures.crashes > 20
