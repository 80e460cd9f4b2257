"""Every flipped bit and every length of a small checkpoint's files: refused, nothing changed."""

from __future__ import annotations

from pathlib import Path

import pytest

import checkpointable as cp
from tests.damage.helpers import DATA, contents, flip, program, read_everything, restore, save

FILES = [".index", DATA]


@pytest.fixture
def prefix(tmp_path):
    return Path(save(program(3), tmp_path / "c"))


@pytest.fixture
def target():
    """A program to restore into, which must never change."""
    return program(5)


def refused(root, prefix, before):
    """Whether a restore is refused by one of the tree's errors; nothing may have changed."""
    try:
        restore(root, prefix)
    except cp.CheckpointError as error:
        caught = error
    else:
        return False
    assert contents(root) == before
    assert caught.path is not None
    assert str(prefix) in str(caught)
    return True


def beside(prefix, ending):
    return Path(f"{prefix}{ending}")


# S25 S33: checksums, lengths and gaps together cover every bit of both files
@pytest.mark.parametrize("ending", FILES)
@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_anywhere(prefix, target, ending, bit):
    path, before = beside(prefix, ending), contents(target)
    whole = path.read_bytes()
    accepted = []
    for position in range(len(whole)):
        flip(path, position, bit)
        if not refused(target, prefix, before):
            accepted.append(position)
        path.write_bytes(whole)
    assert accepted == []
    restore(target, prefix).assert_consumed()
    assert contents(target) == contents(program(3))


# S33
@pytest.mark.parametrize("ending", FILES)
def test_every_length(prefix, target, ending):
    path, before = beside(prefix, ending), contents(target)
    whole = path.read_bytes()
    longer = [whole + b"\0", whole + whole, whole + b"\0" * 1000, b"\0" + whole]
    cut = [whole[:length] for length in range(len(whole))]
    shifted = [whole[length:] for length in range(1, len(whole), 7)]
    for spoiled in cut + longer + shifted:
        path.write_bytes(spoiled)
        assert refused(target, prefix, before), (len(spoiled), len(whole))


# S33
@pytest.mark.parametrize("ending", FILES)
def test_the_readers_say_the_same_or_refuse(prefix, ending):
    path = beside(prefix, ending)
    whole = path.read_bytes()
    calls = (read_everything, cp.list_variables, cp.object_metadata)
    expected = [call(prefix) for call in calls]
    spoiled = [whole[:length] for length in range(0, len(whole), 5)]
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << (position % 8)
        spoiled.append(bytes(changed))
    refusals = [0, 0, 0]
    for contents_ in spoiled:
        path.write_bytes(contents_)
        for number, call in enumerate(calls):
            try:
                found = call(prefix)
            except cp.CheckpointError:
                refusals[number] += 1
            else:
                assert found == expected[number]
    if ending == ".index":
        assert refusals == [len(spoiled)] * 3
    else:
        assert min(refusals) > 0  # a data file that is cut short is noticed at once


# S25: checks that are waived by request still end in a value or in one of the tree's errors
@pytest.mark.parametrize("verify", ["stream", False])
@pytest.mark.parametrize("ending", FILES)
def test_without_verification_too(prefix, target, ending, verify):
    path = beside(prefix, ending)
    whole = path.read_bytes()
    restored = 0
    for position in range(len(whole)):
        flip(path, position, position % 8)
        try:
            restore(target, prefix, verify=verify)
            restored += 1
        except cp.CheckpointError:
            pass
        path.write_bytes(whole)
    if ending == ".index":
        assert restored == 0
    elif verify is False:
        assert restored > 0
