"""An interrupt at any instruction: raised, nothing lost, and the next save goes through."""

from __future__ import annotations

import gc
import itertools
import logging

import pytest

from checkpointable.common.gc_pause import collector_paused
from tests.torture.interrupts import (
    SAVES,
    Interrupt,
    interrupted_restore,
    interrupted_save,
    length,
    places,
    program,
    restore_length,
)

COUNT = 30


@pytest.fixture(autouse=True)
def quiet():
    """What is given up halfway may well say so."""
    logger = logging.getLogger("checkpointable")
    before, logger.level = logger.level, logging.CRITICAL
    yield
    logger.setLevel(before)


@pytest.mark.parametrize("kind", SAVES)
def test_an_interrupt_of_a_save(tmp_path, kind):
    action = SAVES[kind]
    most = length(action, str(tmp_path / "whole"))
    came = sum(
        interrupted_save(action, str(tmp_path / str(number)), at)
        for number, at in enumerate(places(COUNT, most, kind))
    )
    print(kind, "interrupted", came, "times, at", most, "places")
    assert came > COUNT / 2


def test_an_interrupt_of_a_restore(tmp_path):
    path = program(2).save(tmp_path / "ck", durability="flush")
    most = restore_length(path)
    came = sum(interrupted_restore(path, at) for at in places(COUNT, most, "restore"))
    print("restore interrupted", came, "times, at", most, "places")
    assert came > COUNT / 2


def test_an_interrupt_that_is_kept_leaves_the_collector_on():
    """An interactive session keeps the last one, and with it what was on the stack."""
    kept = []
    for at in itertools.count():
        with Interrupt(at) as interrupt:
            try:
                with collector_paused():
                    assert not gc.isenabled()
            except KeyboardInterrupt as error:
                kept.append(error)
        assert gc.isenabled(), f"it is off after an interrupt at {interrupt.where}"
        if interrupt.where is None:
            break
    assert len(kept) == at > 3
