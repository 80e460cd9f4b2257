"""A checkpoint restored into another program than its own: the same outcome as TensorFlow's."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.differential.compare import all_normal
from tests.differential.programs import (
    Append,
    Assign,
    Program,
    Ref,
    Same,
    SetItem,
    Taste,
    blank,
    programs,
)
from tests.differential.scale import EXAMPLES, SEED, TIMEOUT
from tests.differential.sides import Ours, TensorFlow, _Side, build

pytestmark = pytest.mark.timeout(TIMEOUT)

TASTES = {
    "plain": Taste(containers=False, changes=False, max_modules=5, max_variables=5),
    "containers": Taste(changes=False, max_slots=0),
    "slots": Taste(containers=False, changes=False, max_slots=6, max_modules=2),
}


STRICTER = (
    "claim(s) were refused",
    "no value in the checkpoint",
    "value(s) in the checkpoint have no object",
)


@st.composite
def changed(draw: Any, program: Program) -> Program:
    """The program after its code has changed: things are gone, or are other objects."""
    steps: list[Any] = []
    places: set[tuple[int, str]] = set()
    for step in program.steps:
        if draw(st.integers(0, 3)) == 0:
            continue
        if isinstance(step, Append | SetItem) and (step.owner, step.name) not in places:
            continue
        if isinstance(step, Assign):
            value = step.value
            if isinstance(value, Same) and (value.owner, value.name) not in places:
                continue
            places.add((step.owner, step.name))
            if isinstance(value, Ref) and draw(st.integers(0, 4)) == 0:
                kind = program.kinds[value.index]
                others = [i for i, k in enumerate(program.kinds) if k == kind]
                step = dataclasses.replace(step, value=Ref(draw(st.sampled_from(others))))
        steps.append(step)
    return Program(program.kinds, steps, program.contents)


def outcome(program: Program, side: _Side, path: str) -> tuple[Any, dict[str, str | None]]:
    """The contents after restoring, and of each assertion None or its message."""
    blanks = {number: blank(contents) for number, contents in program.contents.items()}
    built = build(program, side, blanks)
    try:
        status = side.restore(built.root, path)
    except (ValueError, tf.errors.OpError):  # another shape or dtype
        return "refused", {}
    status.expect_partial()
    found: dict[str, str | None] = {}
    for name in ("assert_consumed", "assert_existing_objects_matched", "assert_nontrivial_match"):
        try:
            getattr(status, name)()
            found[name] = None
        except AssertionError as error:
            found[name] = str(error)
    return all_normal(built.contents()), found


@pytest.mark.parametrize("taste", TASTES)
def test_the_outcome_is_the_same(taste):
    """S19 S23 S27 S28 S29: what is restored, and what the assertions say."""

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: Any) -> None:
        program = data.draw(programs(TASTES[taste]))
        other = data.draw(changed(program))
        with tempfile.TemporaryDirectory() as directory:
            path = Ours().save(build(program, Ours()).root, os.path.join(directory, "ckpt"))
            ours, our_words = outcome(other, Ours(), path)
            theirs, their_words = outcome(other, TensorFlow(), path)
        assert ours == theirs
        for name, words in our_words.items():
            if their_words[name] is not None:
                assert words is not None
            elif words is not None:
                # Here we are stricter. TensorFlow fails only where the second of two objects
                # has a value itself, never where two other values are to go to one object
                # (S23); it takes a variable for restored that is an object without a value in
                # the checkpoint (S28), and a value for used whose object has none, if that
                # object is another node, too (S27).
                assert any(reason in words for reason in STRICTER)

    run()
