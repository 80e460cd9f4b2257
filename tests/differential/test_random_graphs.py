"""Random programs, saved by us and by TensorFlow: the same file, and each restores the other's."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.differential.compare import all_normal, assert_same_checkpoint
from tests.differential.programs import AddSlot, Program, Taste, blank, programs
from tests.differential.scale import EXAMPLES, SEED, TIMEOUT
from tests.differential.sides import Modules, Ours, TensorFlow, _Side, build

pytestmark = pytest.mark.timeout(TIMEOUT)

TASTES = {
    "plain": Taste(containers=False, max_variables=5),
    "containers": Taste(max_slots=0, max_modules=3),
    "odd names": Taste(odd_names=True, max_slots=1, max_modules=3),
    "slots": Taste(containers=False, max_slots=6, max_modules=2, odd_names=True, odd_slots=True),
    "everything": Taste(odd_names=True),
}


def other_contents(program: Program) -> dict[int, object]:
    return {number: blank(contents) for number, contents in program.contents.items()}


def restored(program: Program, side: _Side, path: str, *, with_slots: bool) -> dict[int, object]:
    """What a program of blank contents holds after restoring `path`.

    Args:
      with_slots: whether the slots exist before, or the restore creates them.
    """
    steps = [step for step in program.steps if with_slots or not isinstance(step, AddSlot)]
    partial = Program(program.kinds, steps, program.contents)
    built = build(partial, side, other_contents(program))
    side.restore(built.root, path).assert_consumed().assert_existing_objects_matched()
    built.program = program
    return built.contents()


def check(program: Program, theirs: _Side) -> None:
    with tempfile.TemporaryDirectory() as directory:
        ours = Ours()
        a = build(program, ours)
        b = build(program, theirs)
        our_path = ours.save(a.root, os.path.join(directory, "ours"))
        their_path = theirs.save(b.root, os.path.join(directory, "theirs"))
        assert_same_checkpoint(our_path, their_path)

        for path in (our_path, their_path):
            for with_slots in (True, False):
                got = restored(program, ours, path, with_slots=with_slots)
                expected = restored(program, theirs, path, with_slots=with_slots)
                assert all_normal(got) == all_normal(expected)
        # And what was reachable is what was saved.
        saved = all_normal(program.contents)
        before = all_normal(other_contents(program))
        for number, value in all_normal(got).items():
            assert value in (saved[number], before[number])


@pytest.mark.parametrize("taste", TASTES)
@pytest.mark.parametrize("round_", range(2))
def test_ours_and_tensorflow_agree(taste, round_):
    """S9 S10 S11 S12 S19 S22: the same keys and graph, restored either way."""
    theirs = (TensorFlow, Modules)[round_]()

    @seed(SEED + round_)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(TASTES[taste]))
    def run(program: Program) -> None:
        check(program, theirs)

    run()
