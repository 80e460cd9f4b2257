"""Reports of restores and of plans: outcomes, counterparts, suggestions that hold (S31)."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.report.text import renames_text

# S31 throughout


class Part(cp.Checkpointable):
    def __init__(self, **parts: Any) -> None:
        for name, part in parts.items():
            setattr(self, name, part)


def var(*shape):
    return cp.Variable(np.ones(shape, np.float32))


def layer(inputs, outputs):
    return Part(kernel=var(inputs, outputs), bias=var(outputs))


@pytest.fixture
def plan(tmp_path):
    """The report of restoring what was saved of one program into another."""

    def make(saved, program, **options):
        path = cp.CheckpointableSaver(saved).save(tmp_path / "ck")
        return cp.CheckpointableSaver(program).plan(path, **options)

    return make


def outcomes(report):
    return {entry.path: entry.outcome.value for entry in report}


def candidates(report):
    return {entry.path: entry.candidate for entry in report if entry.candidate}


def assert_suggestion_completes(plan, saved, program, report):
    assert plan(saved, program, renames=report.renames).complete


def test_what_matches_is_restored(plan):
    report = plan(layer(2, 3), layer(2, 3))
    assert report.complete
    assert report.counts == {"restored": 2}
    assert report.renames == {}
    assert report.notes == []


def test_a_layer_renamed(plan):
    saved, program = Part(a=layer(2, 3), h=layer(3, 1)), Part(b=layer(2, 3), h=layer(3, 1))
    report = plan(saved, program)
    assert outcomes(report) == {
        "h/kernel": "restored",
        "h/bias": "restored",
        "b/kernel": "missing in checkpoint",
        "b/bias": "missing in checkpoint",
        "a/kernel": "unused in checkpoint",
        "a/bias": "unused in checkpoint",
    }
    assert candidates(report)["b/kernel"] == "a/kernel"
    assert candidates(report)["a/kernel"] == "b/kernel"
    assert report.renames == {"a": "b"}
    assert_suggestion_completes(plan, saved, program, report)


def test_a_submodule_moved_under_a_wrapper(plan):
    saved = Part(encoder=Part(layers=[layer(2, 2), layer(2, 2)]), head=layer(2, 1))
    inner = Part(encoder=Part(layers=[layer(2, 2), layer(2, 2)]))
    program = Part(model=Part(body=inner), head=layer(2, 1))
    report = plan(saved, program)
    assert report.renames == {"encoder": "model/body/encoder"}
    assert_suggestion_completes(plan, saved, program, report)


def test_a_block_inserted_of_other_shapes(plan):
    saved = Part(l=[layer(2, 3), layer(3, 4), layer(4, 5)])
    program = Part(l=[layer(2, 3), layer(3, 3), layer(3, 4), layer(4, 5)])
    report = plan(saved, program)
    assert outcomes(report)["l/1/kernel"] == outcomes(report)["l/2/kernel"] == "mismatch"
    entry = report["l/1/kernel"]
    assert (str(entry.checkpoint), str(entry.program)) == ("float32[3, 4]", "float32[3, 3]")
    assert entry.candidate == "l/2/kernel"
    assert report.renames == {"l/1": "l/2", "l/2": "l/3"}
    assert "3 items in the checkpoint, 4 in the program" in report.notes[0]
    after = plan(saved, program, renames=report.renames)
    assert after.counts == {"restored": 6, "missing in checkpoint": 2}


def test_a_block_inserted_of_equal_shapes(plan):
    report = plan(Part(l=[layer(2, 2)] * 1), Part(l=[layer(2, 2), layer(2, 2)]))
    assert report["l/0/kernel"].note == "matched by position, may have shifted"
    assert report.notes == [
        "l: 1 items in the checkpoint, 2 in the program: matched by position, may have shifted"
    ]
    assert report.renames == {}


def test_two_layers_of_equal_shape_both_renamed(plan):
    report = plan(
        Part(left=layer(2, 2), right=layer(2, 2)), Part(first=layer(2, 2), second=layer(2, 2))
    )
    assert report.renames == {}
    assert candidates(report) == {}
    entry = report["first/kernel"]
    assert entry.candidates == ["left/kernel", "right/kernel"]
    assert entry.note.startswith("ambiguous")


def test_two_layers_renamed_that_differ_in_one_value(plan):
    """What is told apart is suggested, what is not is not."""
    saved = Part(left=layer(2, 2), right=Part(kernel=var(2, 7), bias=var(2)))
    program = Part(first=layer(2, 2), second=Part(kernel=var(2, 7), bias=var(2)))
    report = plan(saved, program)
    assert report.renames == {"left": "first", "right": "second"}  # biases go with kernels
    assert report["first/bias"].candidate is None


def test_slots_follow_and_are_not_suggested(plan):
    class Momentum(cp.Optimizer):
        def __init__(self, variable):
            super().__init__()
            self.add_slot(variable, "m", np.zeros(variable.shape, np.float32))

    def program(name):
        variable = var(3)
        return Part(**{name: variable}, optimizer=Momentum(variable))

    saved, own = program("kernel"), program("weights")
    report = plan(saved, own)
    assert report.renames == {"kernel": "weights"}
    assert_suggestion_completes(plan, saved, own, report)


def test_attributes_and_dtypes_tell_apart(plan):
    class Own(cp.Checkpointable):
        def __init__(self, attribute):
            self.attribute = attribute

        def _gather_saveables_for_checkpoint(self):
            value = cp.Value("float32", (2,), lambda: np.zeros(2, np.float32), lambda _: None)
            return {self.attribute: value}

    report = plan(Part(a=Own("ONE")), Part(b=Own("TWO")))
    assert candidates(report) == {}
    report = plan(Part(a=cp.Variable(np.ones(2))), Part(b=var(2)))
    assert candidates(report) == {}


def test_renames_that_the_checkpoint_has_no_room_for_are_not_suggested(plan):
    """`b` is another object of the checkpoint, and stays."""
    report = plan(Part(a=var(2), b=var(3)), Part(b=var(2)))
    assert report["a"].candidate == "b"
    assert report.renames == {}


def test_a_report_is_json(plan):
    report = plan(Part(a=layer(2, 3)), Part(b=layer(2, 3), c=var(1)))
    document = json.loads(json.dumps(report.to_dict()))
    assert set(document) == {"checkpoint", "counts", "entries", "renames", "notes"}
    assert set(document["entries"][0]) == {
        *("path", "attribute", "outcome", "checkpoint", "program", "key"),
        *("candidate", "candidates", "note"),
    }
    assert {"dtype": "float32", "shape": [2, 3]} in [e["program"] for e in document["entries"]]
    with pytest.raises(KeyError, match="no value at 'nothing'"):
        report["nothing"]
    assert "c" in [entry.path for entry in report.with_outcome("missing in checkpoint")]


def test_a_report_prints_as_a_table_and_as_a_tree(plan):
    from rich.console import Console

    report = plan(Part(a=layer(2, 3), d=var(1)), Part(b=layer(2, 3), d=var(1)))
    lines = str(report).splitlines()
    assert lines[0].endswith("1 restored, 2 missing in checkpoint, 2 unused in checkpoint")
    assert re.fullmatch(r"path +outcome +checkpoint +program", lines[1])
    assert len(lines) == 2 + 5 + 1
    assert lines[-1] == "likely renamed: renames={'a': 'b'}"
    console = Console(width=100)
    with console.capture() as capture:
        console.print(report)
    text = capture.get()
    assert "kernel  missing in checkpoint  float32[2, 3]  likely a/kernel" in text
    assert "renames={'a': 'b'}" in text


def test_a_deep_path_neither_leaves_the_screen_nor_widens_all_rows(plan):
    from rich.console import Console

    program = last = Part(v=var(1))
    for _ in range(2000):
        last.n = Part()
        last = last.n
    last.end = var(7)
    report = plan(program, program)
    assert len(str(report)) < 20_000  # the path once, and no row is padded to its size
    console = Console(width=100)
    with console.capture() as capture:
        console.print(report)
    text = capture.get()
    assert "v  restored  float32[1]" in text
    assert text.rstrip().endswith("end  restored  float32[7]")
    assert text.count("n/") > 1900


def test_suggestions_are_python():
    renames = {"a'b": "c\\d", "e": "f"}
    assert eval(renames_text(renames).removeprefix("renames=")) == renames


# -- whatever the programs are ----------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "0", "1"])
TREES = st.recursive(
    st.integers(1, 3),
    lambda children: st.dictionaries(NAMES, children, min_size=1, max_size=3),
    max_leaves=8,
)


def build(tree):
    if isinstance(tree, int):
        return var(tree)
    root = Part()
    for name, child in tree.items():
        root._track_checkpointable(build(child), name)
    return root


@settings(max_examples=60)
@given(st.dictionaries(NAMES, TREES, min_size=1), st.dictionaries(NAMES, TREES, min_size=1))
@example({"0": {"a": 1, "c": {"a": 2, "b": 1}}}, {"a": {"a": 1, "0": {"c": 1, "a": 1}}})
def test_suggestions_can_be_done_and_only_help(tmp_path_factory, saved, program):
    directory = tmp_path_factory.mktemp("report")
    path = cp.CheckpointableSaver(build(saved)).save(directory / "ck", durability="flush")
    saver = cp.CheckpointableSaver(build(program))
    report = saver.plan(path)
    after = saver.plan(path, renames=report.renames)
    before = {e.path for e in report.with_outcome("restored")}
    assert before <= {e.path for e in after.with_outcome("restored")}
    assert len(after.with_outcome("restored")) >= len(before) + bool(report.renames)
