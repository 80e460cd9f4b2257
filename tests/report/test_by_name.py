"""Reports and requirements of checkpoints without an object graph (S31, S38)."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.status import LoadStatus

STATUSES = (cp.CheckpointLoadStatus, cp.InitializationOnlyStatus, cp.NameBasedSaverStatus)


def program(**shapes):
    return cp.Checkpoint(
        **{name: cp.Variable(np.zeros(shape), name=f"of/{name}") for name, shape in shapes.items()}
    )


@pytest.fixture
def path(tmp_path):
    variables = [cp.Variable(np.ones(3), name=f"of/{name}") for name in ("a", "b", "only_stored")]
    return cp.Saver(variables).save(tmp_path / "ckpt")


def outcomes(status):
    return {entry.path: (entry.outcome.value, entry.note) for entry in status.report()}


def test_a_report_before_and_after_the_status_is_run(path):
    status = program(a=3, b=3, new=3).restore(path)
    waits = "restored by run_restore_ops() or initialize_or_restore()"
    assert outcomes(status) == {
        "a": ("deferred", waits),
        "b": ("deferred", waits),
        "new": ("missing in checkpoint", "name 'of/new'"),
        "of/only_stored": ("unused in checkpoint", ""),
    }
    status.run_restore_ops()
    report = status.report()
    assert report.counts == {
        "restored": 2,
        "missing in checkpoint": 1,
        "unused in checkpoint": 1,
    }
    assert report.checkpoint == path
    assert not report.complete
    assert report["a"].key == "of/a"
    assert str(report["a"].checkpoint) == str(report["a"].program) == "float64[3]"
    assert "of/only_stored" in str(report)


def test_a_report_of_everything_is_complete_without_a_counter(path):
    """Other programs' files have no save counter, which a Checkpoint has."""
    checkpoint = program(a=3, b=3)
    checkpoint.c = cp.Variable(np.zeros(3), name="of/only_stored")
    status = checkpoint.restore(path)
    status.run_restore_ops()
    assert status.report().complete


def test_a_report_of_a_value_that_does_not_fit_or_has_no_name(path):
    checkpoint = program(a=4, b=3)
    checkpoint.nameless = cp.Variable(1.0)
    status = checkpoint.restore(path)
    report = status.report()
    assert report["a"].outcome is cp.Outcome.MISMATCH
    assert (str(report["a"].checkpoint), str(report["a"].program)) == ("float64[3]", "float64[4]")
    assert report["nameless"].note == "has no name"
    with pytest.raises(cp.CheckpointMismatchError):
        status.run_restore_ops()
    status.expect_partial()


def test_a_report_never_raises(path):
    status = program(a=3).restore(path, names={"nowhere": "of/a"})
    (note,) = status.report().notes
    assert note.startswith("names=: the program has no value at nowhere; write paths as status")
    with pytest.raises(ValueError, match="no value at nowhere"):
        status.run_restore_ops()
    status.expect_partial()


def test_requirements(path):
    checkpoint = program(a=3, b=3, new=3)
    status = checkpoint.restore(path)
    with pytest.raises(
        AssertionError,
        match="nothing was restored yet from this name-based checkpoint: call run_restore_ops",
    ):
        status.require("a")
    status.run_restore_ops()
    assert status.require("a", "b") is status
    with pytest.raises(AssertionError) as error:
        status.require("*", "nowhere/**")
    assert str(error.value).startswith(f"{path}: 2 requirement(s) not met: ")
    assert "new is missing in checkpoint" in str(error.value)
    assert "require('nowhere/**'): no value on either side has" in str(error.value)


def test_a_later_restore_counts(path, tmp_path):
    checkpoint = program(a=3)
    status = checkpoint.restore(path)
    status.run_restore_ops()
    other = program(a=3)
    checkpoint.restore(other.save(tmp_path / "other")).assert_existing_objects_matched()
    assert status.report()["a"].outcome is cp.Outcome.RESTORED


@pytest.mark.parametrize("status", STATUSES)
def test_the_base_declares_all_that_statuses_share(status):
    """Code that is typed against the base may call what each of them has."""

    def public(cls):
        return {name for name, _ in inspect.getmembers(cls, inspect.isfunction) if name[0] != "_"}

    assert public(status) == public(LoadStatus)
    for name in public(status):
        own, base = (inspect.signature(getattr(cls, name)) for cls in (status, LoadStatus))
        assert list(own.parameters) == list(base.parameters), name
