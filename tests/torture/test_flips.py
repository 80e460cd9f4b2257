"""Flipped bits are found by restore and by verify, and the value is named."""

from __future__ import annotations

import pytest

from tests.torture.flips import (
    DATA,
    HISTORY,
    INDEX,
    STATE,
    Sweep,
    a_bit_of_every_byte,
    every_bit,
    sampled,
)


@pytest.fixture(scope="module")
def sweep():
    return Sweep()


@pytest.mark.parametrize("name", [INDEX, DATA])
def test_a_bit_of_every_byte_of_a_small_checkpoint(sweep, name):
    flips = a_bit_of_every_byte(sweep, name)
    print(name, flips)
    assert flips.bits == len(sweep.contents(name)) == flips.found == flips.verified
    assert not flips.harmless
    if name == DATA:  # all but the gaps
        assert flips.named == sum(end - start for start, end, _ in sweep.places)


@pytest.mark.parametrize("name", [STATE, HISTORY])
def test_every_bit_of_the_small_text_files(sweep, name):
    """What is not reported has changed nothing: the checksum's own words, white space."""
    flips = every_bit(sweep, name)
    print(name, flips)
    assert flips.bits == 8 * len(sweep.contents(name)) == flips.found + flips.harmless
    assert flips.harmless < 0.5 * flips.bits


def test_bits_of_a_larger_checkpoint():
    sweep = Sweep(200_000)
    flips = sampled(sweep, DATA, 40)
    assert flips.bits == flips.found == flips.verified == 40
    assert flips.named > 35
