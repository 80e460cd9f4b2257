"""Work grows with the size of a program, and not faster; deep ones and large states work too."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.cli.commands.ls import run as list_values
from checkpointable.cli.commands.show import run as show
from checkpointable.cli.commands.verify import run as verify


def calls(function):
    """How many functions, Python's and C's, are called while `function` runs."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        if event in {"call", "c_call"}:
            count += 1

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


class Unit(cp.Checkpointable):
    def __init__(self, value):
        self.v = cp.Variable(np.float32(value))


def wide(size):
    return cp.Checkpoint(units=[Unit(i) for i in range(size)])


class Link(cp.Checkpointable):
    pass


def chain(size, value=0):
    # A key is a path: values at each depth would have size² bytes of keys. At the end alone.
    root = link = Link()
    for _ in range(size):
        link.n = Link()
        link = link.n
    link.v = cp.Variable(value)
    return cp.Checkpoint(root=root, last=cp.NoDependency(link))


def slotted(size):
    units, optimizer = [Unit(i) for i in range(size)], cp.Optimizer()
    for unit in units:
        optimizer.add_slot(unit.v, "momentum", 0.0)
    return cp.Checkpoint(units=units, optimizer=optimizer)


STEPS = {
    "save": lambda checkpoint, path: checkpoint.write(path, durability="flush"),
    "asynchronous save": lambda checkpoint, path: checkpoint.write_async(
        path, durability="flush"
    ).result(),
    "restore": lambda checkpoint, path: checkpoint.read(path),
    "assert_consumed": lambda checkpoint, path: checkpoint.read(path).assert_consumed(),
    "report": lambda checkpoint, path: checkpoint.read(path).report(),
    "plan": lambda checkpoint, path: checkpoint.plan(path),
    "ls": lambda checkpoint, path: list_values(str(path)),
    "show": lambda checkpoint, path: show(str(path), None),
    "show --json": lambda checkpoint, path: show(str(path), None, json=True),
    "verify": lambda checkpoint, path: verify(str(path)),
    "compare": lambda checkpoint, path: cp.compare_checkpoints(path, path),
    "object_metadata": lambda checkpoint, path: cp.object_metadata(path),
    "read each": lambda checkpoint, path: read_each(path),
}


def read_each(path):
    with cp.load_checkpoint(path) as reader:
        for key in reader.keys():
            reader.get_tensor(key)


@pytest.mark.parametrize("make", [wide, slotted, chain])
@pytest.mark.parametrize("step", STEPS)
def test_work_is_near_linear(tmp_path, capsys, make, step):
    sizes, counts = (300, 1200), []
    for size in sizes:
        checkpoint = make(size)
        path = checkpoint.write(tmp_path / f"{size}", durability="flush")
        STEPS[step](checkpoint, path)  # what is loaded or made once
        counts.append(calls(lambda c=checkpoint, p=path: STEPS[step](c, p)))
    assert counts[1] < 1.1 * sizes[1] / sizes[0] * counts[0]


def test_a_chain_of_10_000_objects(tmp_path, capsys):
    checkpoint = chain(10_000, 3)
    path = checkpoint.write(tmp_path / "ck", durability="flush")
    again = chain(10_000)
    status = again.read(path).assert_consumed()
    assert int(again.last.v) == 3
    assert status.report().complete
    with cp.load_checkpoint(path) as reader:
        assert sum(key.count("n/") for key in reader.keys()) == 10_000
    assert cp.compare_checkpoints(path, path).equal
    assert str(status.report()).count("restored") == 2
    assert checkpoint.plan(path).counts["restored"] == 1
    show(path, None)
    assert "10,002 objects, 1 value" in capsys.readouterr().out


def test_a_state_of_a_million_numbers(tmp_path):
    state = cp.JSONState(numbers=list(range(1_000_000)))
    path = cp.Checkpoint(s=state).write(tmp_path / "ck", durability="flush")
    restored = cp.JSONState()
    cp.Checkpoint(s=restored).read(path).assert_consumed()
    assert restored == state
