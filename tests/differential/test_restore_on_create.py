"""Random programs built in random orders around their restores: the end is always the same.

What a restore into the finished program gives (which `test_random_graphs` holds equal to
TensorFlow) is what every other order has to give.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from checkpointable.graph.registry import adapter_of
from checkpointable.graph.walk import walk
from tests.differential.compare import all_normal
from tests.differential.programs import (
    AddSlot,
    Append,
    Assign,
    Program,
    Same,
    SetItem,
    Taste,
    blank,
    programs,
)
from tests.differential.scale import EXAMPLES, SEED, TIMEOUT
from tests.differential.sides import Built, Ours, TensorFlow, build

OURS = Ours()
pytestmark = pytest.mark.timeout(TIMEOUT)

TASTES = {
    "plain": Taste(containers=False, changes=False, max_slots=0, max_variables=6, max_modules=5),
    "containers": Taste(changes=False, max_slots=0),
    "slots": Taste(containers=False, changes=False, max_slots=6, max_modules=2, odd_slots=True),
    "everything": Taste(changes=False, odd_names=True),
}
RUN = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def depends(step: Any, earlier: Any) -> bool:
    """Whether `step`, further down in a program, needs `earlier` to be done before it."""
    if not isinstance(earlier, Assign | Append) or isinstance(step, AddSlot):
        return False
    place = (earlier.owner, earlier.name)
    if isinstance(step, Append | SetItem) and (step.owner, step.name) == place:
        return True
    value = step.value
    return isinstance(value, Same) and (value.owner, value.name) == place


@st.composite
def orders(draw: Any, program: Program) -> list[Any]:
    """The steps in any order that respects what depends on what."""
    steps = program.steps
    left = list(draw(st.permutations(range(len(steps)))))
    order: list[Any] = []
    while left:
        for index in left:
            if not any(other < index and depends(steps[index], steps[other]) for other in left):
                order.append(steps[index])
                left.remove(index)
                break
    return order


@st.composite
def histories(draw: Any, taste: Taste) -> tuple[Program, list[Any]]:
    """A program, and an order of its steps in which some slots are never added."""
    program = draw(programs(taste))
    order = draw(orders(program))
    return program, [s for s in order if not isinstance(s, AddSlot) or draw(st.booleans())]


def blanks(program: Program) -> dict[int, Any]:
    return {number: blank(contents) for number, contents in program.contents.items()}


def finished(program: Program, steps: list[Any], *paths: str) -> dict[int, Any]:
    """What the finished program holds after restoring the checkpoints in turn."""
    built = build(Program(program.kinds, steps, program.contents), OURS, blanks(program))
    for path in paths:
        OURS.restore(built.root, path).expect_partial()
    built.program = program
    return built.contents()


@pytest.mark.parametrize("taste", TASTES)
def test_every_order_ends_with_the_same_values(taste):
    """S21 S22 S26: built before or after the restore, which outlives the files' names."""

    @seed(SEED)
    @RUN
    @given(st.data())
    def run(data: Any) -> None:
        program, steps = data.draw(histories(TASTES[taste]))
        cut = data.draw(st.integers(0, len(steps)))
        by_tensorflow = data.draw(st.integers(0, 7)) == 0
        with tempfile.TemporaryDirectory() as directory:
            writer = TensorFlow() if by_tensorflow else OURS
            path = writer.save(build(program, writer).root, os.path.join(directory, "ckpt"))
            expected = finished(program, steps, path)

            built = Built(program, OURS, blanks(program))
            for step in steps[:cut]:
                built.do(step)
            status = OURS.restore(built.root, path)
            shutil.rmtree(directory)
            os.mkdir(directory)
            for step in steps[cut:]:
                built.do(step)
            assert all_normal(built.contents()) == all_normal(expected)
            status.assert_consumed().assert_existing_objects_matched()

    run()


@pytest.mark.parametrize("taste", TASTES)
def test_the_last_restore_wins_in_every_order(taste):
    """S24: of two restores, the second of a part of the program, in any order of creation."""

    @seed(SEED)
    @RUN
    @given(st.data())
    def run(data: Any) -> None:
        program, steps = data.draw(histories(TASTES[taste]))
        part = data.draw(st.integers(0, len(program.steps)))
        first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(steps))] * 2)))
        later_contents = {n: _changed(c) for n, c in program.contents.items()}
        later = Program(program.kinds, program.steps[:part], later_contents)
        with tempfile.TemporaryDirectory() as directory:
            absolute_path = OURS.save(build(program, OURS).root, os.path.join(directory, "whole"))
            later_built = build(later, OURS)
            later_path = OURS.save(later_built.root, os.path.join(directory, "part"))
            expected = finished(program, steps, absolute_path)
            expected.update(_saved(later_built, later_contents))

            built = Built(program, OURS, blanks(program))
            for step in steps[:first]:
                built.do(step)
            status = OURS.restore(built.root, absolute_path)
            for step in steps[first:second]:
                built.do(step)
            OURS.restore(built.root, later_path).expect_partial()
            gc.collect(0)
            for step in steps[second:]:
                built.do(step)
            assert all_normal(built.contents()) == all_normal(expected)
            status.assert_consumed()  # what the second restore has set counts

    run()


def _changed(contents: Any) -> Any:
    if isinstance(contents, bytes):
        return contents + b" later"
    if contents.dtype == object:
        return contents + b" later"
    return contents[..., ::-1].copy() if contents.ndim else contents


def _saved(built: Built, contents: dict[int, Any]) -> dict[int, Any]:
    """By number, what a checkpoint of this program holds."""
    found = walk(built.root, adapter_of)
    saved = {
        number: contents[number]
        for number, obj in enumerate(built.objects)
        if number in contents and found.node_id(obj) is not None
    }
    for step in built.program.slots:
        reached = (built.objects[step.optimizer], built.objects[step.variable])
        if all(found.node_id(obj) is not None for obj in reached):
            saved[step.contents] = contents[step.contents]
    return saved
