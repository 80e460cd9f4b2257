"""What a status says: its assertions, in words that name paths, and the one warning."""

from __future__ import annotations

import gc
import logging
import re
import subprocess
import sys

import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Counter, Module, restore, save, variable

ADVICE = " (status.report() shows every value and likely renames)"


def warnings(caplog):
    gc.collect()
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def words(check):
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    source = Module(
        net=Module(v=variable(1), n=Counter(2)), optimizer=Module(beta1_power=variable(3))
    )
    return save(source, tmp_path / "c")


def whole():
    return Module(net=Module(v=variable(), n=Counter()), optimizer=Module(beta1_power=variable()))


# S27 S28 S29
def test_the_assertions_return_the_status(path):
    status = restore(whole(), path)
    assert isinstance(status, cp.CheckpointLoadStatus)
    assert status.assert_consumed() is status
    assert status.assert_existing_objects_matched() is status
    assert status.assert_nontrivial_match() is status
    assert status.expect_partial() is status
    assert status.run_restore_ops() is None
    assert status.initialize_or_restore(session=None) is None


# S27
def test_a_value_without_an_object_fails(path):
    root = whole()
    del root.optimizer
    status = restore(root, path)
    text = words(status.assert_consumed)
    assert (
        text
        == f"{path}: 1 value(s) in the checkpoint have no object: optimizer/beta1_power{ADVICE}"
    )
    status.assert_existing_objects_matched()  # S28
    root.optimizer = Module(beta1_power=variable())
    status.assert_consumed()


# S27
def test_an_object_without_a_value_fails(path):
    root = whole()
    root.net.extra = variable()
    root.net.more = {"b.c": Counter()}
    status = restore(root, path)
    paths = "net/extra, net/more/b..c"
    expected = f"{path}: 2 object(s) have no value in the checkpoint: {paths}{ADVICE}"
    assert words(status.assert_consumed) == expected
    assert words(status.assert_existing_objects_matched) == expected
    del root.net.extra, root.net.more
    status.assert_consumed()


# S27
def test_at_most_ten_paths_and_a_count(tmp_path):
    path = save(Module(items=[variable(n) for n in range(25)]), tmp_path / "c")
    root = Module(others=[variable(n) for n in range(13)])
    status = restore(root, path).expect_partial()
    text = words(status.assert_consumed)
    assert len(re.findall(r"items/\d+", text)) == 10
    assert len(re.findall(r"others/\d+", text)) == 10
    assert "25 value(s) in the checkpoint" in text
    assert "and 15 more" in text
    assert "13 object(s)" in text
    assert "and 3 more" in text
    assert "node_id" not in text  # no message dumps
    assert "object at 0x" not in text


# S27
def test_a_value_that_a_later_restore_has_set_counts(path, tmp_path):
    root = whole()
    root.extra = variable()
    status = restore(root, path)
    words(status.assert_consumed)
    restore(root, save(Module(extra=variable(5)), tmp_path / "d")).expect_partial()
    status.assert_consumed()


# S27
def test_a_value_that_an_earlier_restore_has_set_does_not(path, tmp_path):
    root = whole()
    root.extra = variable()
    restore(root, save(Module(extra=variable(5)), tmp_path / "d")).expect_partial()
    assert words(restore(root, path).assert_consumed).endswith(f": extra{ADVICE}")


# S27
def test_the_root_and_other_attributes_have_names_too(tmp_path):
    class Two(cp.Checkpointable):
        def _gather_saveables_for_checkpoint(self):
            return {
                name: cp.Value("float32", (), lambda: np.float32(0), lambda contents: None)
                for name in ("VARIABLE_VALUE", "momentum")
            }

    path = save(Module(two=Two()), tmp_path / "c")
    text = words(restore(Module(), path).expect_partial().assert_consumed)
    assert text.endswith(
        f"2 value(s) in the checkpoint have no object: two, two (momentum){ADVICE}"
    )
    path = save(variable(1), tmp_path / "d")
    text = words(restore(Two(), path).assert_consumed)
    assert text.endswith(
        f"1 object(s) have no value in the checkpoint: the root (momentum){ADVICE}"
    )


# S28
def test_what_does_not_make_it_fail(path):
    root = whole()
    del root.net.n  # a checkpoint entry that nothing matches
    root.unbuilt = Module()  # an object not yet built
    root.empty = [[], {}, (), {"x": []}]  # containers that hold no values
    root.plain = 3
    restore(root, path).assert_existing_objects_matched().expect_partial()


# S28
def test_an_object_that_stands_where_the_checkpoint_has_none_with_a_value(path):
    root = whole()
    root.net = variable(7)
    status = restore(root, path).expect_partial()
    assert words(status.assert_existing_objects_matched).endswith(f": net{ADVICE}")
    assert float(root.net) == 7


# S29
def test_nothing_but_the_root_matched(path, tmp_path):
    another = save(Module(alpha=variable(), beta=Counter()), tmp_path / "another")
    status = restore(whole(), another).expect_partial()
    text = words(status.assert_nontrivial_match)
    assert "the checkpoint is of another program" in text
    assert "net/v" in text
    bare = restore(Module(), path).expect_partial()
    text = words(bare.assert_nontrivial_match)
    assert "has no dependencies yet" in text
    partial = Module(net=Module())
    restore(partial, path).expect_partial().assert_nontrivial_match()


# S29
def test_what_is_added_later_makes_the_match_nontrivial(path):
    root = Module()
    status = restore(root, path).expect_partial()
    words(status.assert_nontrivial_match)
    root.net = Module()
    status.assert_nontrivial_match()


# S30
def test_the_warning_comes_once_when_nobody_needs_the_checkpoint(path, caplog):
    root = Module(net=Module(v=variable()))
    status = restore(root, path)
    assert warnings(caplog) == []
    del status
    assert warnings(caplog) == []  # pending restores still need it
    del root
    (warning,) = warnings(caplog)
    assert path in warning
    assert "2 of 3 values were never restored" in warning
    assert "expect_partial" in warning
    (record,) = caplog.records
    assert record.name == "checkpointable"
    assert record.levelno == logging.WARNING


# S30
def test_a_status_alone_keeps_the_warning_back(path, caplog):
    root = Module(net=Module())
    status = restore(root, path)
    del root
    assert warnings(caplog) == []
    del status
    assert len(warnings(caplog)) == 1


# S30
def test_expect_partial_silences_it(path, caplog):
    root = Module(net=Module(v=variable()))
    restore(root, path).expect_partial()
    del root
    assert warnings(caplog) == []
    late = Module()
    status = restore(late, path)
    del late
    status.expect_partial()
    del status
    assert warnings(caplog) == []


# S30
def test_there_is_none_when_everything_was_used(path, caplog):
    restore(whole(), path)
    root = Module()
    restore(root, path)
    root.net, root.optimizer = whole().net, whole().optimizer
    del root
    assert warnings(caplog) == []


# S30
def test_there_is_none_after_an_error(path, caplog):
    root = whole()
    root.net.v = cp.Variable([1.0])
    with pytest.raises(cp.CheckpointMismatchError):
        restore(root, path)
    del root
    assert warnings(caplog) == []


# S30
@pytest.mark.parametrize("silenced", [False, True])
def test_a_program_that_ends_says_it_once(path, silenced):
    program = f"""
import checkpointable as cp
root = cp.Checkpointable()
status = cp.CheckpointableSaver(root).restore({path!r})
if {silenced}:
    status.expect_partial()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert done.stderr.count("never restored") == (0 if silenced else 1)
    assert "Error" not in done.stderr


# S31
def test_report_says_the_outcome_of_every_value(path, tmp_path):
    root = Module(net=Module(v=variable(), extra=cp.Variable(["text"])))
    status = restore(root, path).expect_partial()
    outcomes = {(e.path, e.attribute): e.outcome.name for e in status.report()}
    assert outcomes == {
        ("net/v", "VARIABLE_VALUE"): "RESTORED",
        ("net/extra", "VARIABLE_VALUE"): "MISSING",
        ("net/n", "py_state"): "DEFERRED",
        ("optimizer/beta1_power", "VARIABLE_VALUE"): "DEFERRED",
    }
    root.net.n = Counter()
    outcomes = {e.path: e.outcome.name for e in status.report()}
    assert outcomes["net/n"] == "RESTORED"
    assert "net/extra" in str(status.report())


def test_a_status_shows_its_checkpoint(tmp_path):
    checkpoint = cp.Checkpoint(v=variable(1))
    path = checkpoint.save(tmp_path / "ck")
    assert repr(checkpoint.restore(path)) == f"<CheckpointLoadStatus {path!r}>"
    assert repr(checkpoint.restore(None)) == "<InitializationOnlyStatus: there was no checkpoint>"
    named = cp.Variable(1.0, name="v")
    path = cp.Saver([named]).save(tmp_path / "named")
    status = cp.Checkpoint(v=named).read(path)
    assert repr(status) == f"<NameBasedSaverStatus {path!r}>"
    status.run_restore_ops()
