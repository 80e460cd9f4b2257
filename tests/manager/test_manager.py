"""CheckpointManager: what is kept and what is deleted (S14, S16, S18)."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.savers.object_saver import ObjectSaver
from tests.manager.helpers import (
    HOUR,
    data_files,
    manager_of,
    names,
    on_disk,
    program,
    save,
)

# -- numbers and paths -------------------------------------------------------------------------


def test_checkpoints_are_numbered_by_the_save_counter(tmp_path):  # S14, S15
    checkpoint = program()
    manager = manager_of(tmp_path / "new" / "directory", checkpoint=checkpoint)
    assert manager.latest_checkpoint is None
    assert manager.checkpoints == []
    assert [save(manager) for _ in range(2)] == ["ckpt-1", "ckpt-2"]
    assert save(manager, checkpoint_number=np.int64(70)) == "ckpt-70"
    assert int(checkpoint.save_counter) == 3
    assert manager.checkpoint is checkpoint
    assert manager.directory == str(tmp_path / "new" / "directory")
    assert manager.checkpoint_interval is None
    assert save(manager, checkpoint_number=cp.Variable(80)) == "ckpt-80"


def test_a_saver_without_a_counter_goes_on_from_the_highest_number(tmp_path):  # S14
    saver = cp.CheckpointableSaver(program())
    manager = manager_of(tmp_path, 2, saver)
    assert [save(manager) for _ in range(3)] == ["ckpt-1", "ckpt-2", "ckpt-3"]
    assert save(manager_of(tmp_path, 2, saver)) == "ckpt-4"
    assert save(manager, checkpoint_number=10) == "ckpt-10"
    assert save(manager) == "ckpt-11"
    assert manager.restore_or_initialize().endswith("ckpt-11")


def test_a_save_that_fails_counts_nothing_and_deletes_nothing(tmp_path):  # S18
    checkpoint = cp.Checkpoint(state=cp.JSONState())
    manager = manager_of(tmp_path, 1, checkpoint)
    save(manager)
    before = (tmp_path / "checkpoint").read_bytes()
    checkpoint.state["wrong"] = ()
    with pytest.raises(ValueError, match="wrong: a tuple"):
        save(manager)
    assert int(checkpoint.save_counter) == 1
    assert (tmp_path / "checkpoint").read_bytes() == before
    assert on_disk(tmp_path) == names(manager.checkpoints) == ["ckpt-1"]
    del checkpoint.state["wrong"]
    assert save(manager) == "ckpt-2"


def test_a_number_that_is_written_again_is_the_newest(tmp_path):
    manager = manager_of(tmp_path, 2)
    for number in (1, 2, 1, 3):
        save(manager, checkpoint_number=number)
    assert names(manager.checkpoints) == on_disk(tmp_path)[::1] == ["ckpt-1", "ckpt-3"]


@pytest.mark.parametrize("name", ["ckpt", "a b", "ünï-1", 'quo"te', "back\\slash", "new\nline"])
def test_odd_names(name, tmp_path):
    manager = manager_of(tmp_path, 1, checkpoint_name=name)
    save(manager)
    save(manager)
    again = manager_of(tmp_path, 1, checkpoint_name=name)
    assert names(again.checkpoints) == [f"{name}-2"] == on_disk(tmp_path)
    assert save(again, checkpoint_number=3) == f"{name}-3"
    assert on_disk(tmp_path) == [f"{name}-3"]


def test_a_directory_that_was_moved(tmp_path):  # S16
    manager = manager_of(tmp_path / "a", 2, best=("loss", "min", 1))
    for loss in (1, 2, 3, 4):
        save(manager, metrics={"loss": loss})
    shutil.move(tmp_path / "a", tmp_path / "b")
    moved = manager_of(tmp_path / "b", 2, best=("loss", "min", 1))
    assert moved.latest_checkpoint == str(tmp_path / "b" / "ckpt-4")
    assert names(moved.best_checkpoints) == ["ckpt-1"]
    assert names(moved.checkpoints) == ["ckpt-1", "ckpt-3", "ckpt-4"]
    save(moved, checkpoint_number=5)
    assert on_disk(tmp_path / "b") == ["ckpt-1", "ckpt-4", "ckpt-5"]


def test_relative_directories(tmp_path, monkeypatch):  # S16
    monkeypatch.chdir(tmp_path)
    manager = manager_of("runs/a", 1)
    save(manager)
    save(manager)
    assert manager.checkpoints == ["runs/a/ckpt-2"]
    text = Path("runs/a/checkpoint").read_text("utf-8")
    assert 'model_checkpoint_path: "ckpt-2"' in text
    assert manager_of("runs/a", 1).checkpoints == ["runs/a/ckpt-2"]


# -- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -1])
def test_nothing_cannot_be_kept(wrong, tmp_path):
    with pytest.raises(ValueError, match="it must be a positive integer or None"):
        manager_of(tmp_path, wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "loss",
        ("loss", "min"),
        ("loss", "best", 1),
        ("loss", "min", 0),
        (1, "min", 1),
        ("a", "max", 1.5),
    ],
)
def test_best_has_one_form(wrong, tmp_path):
    with pytest.raises(ValueError, match=r"best is .*; it must be \(metric, 'min' or 'max', k\)"):
        manager_of(tmp_path, best=wrong)


def test_an_interval_needs_a_counter(tmp_path):
    with pytest.raises(ValueError, match="needs a step_counter"):
        manager_of(tmp_path, checkpoint_interval=3)


def test_only_checkpoints_are_managed(tmp_path):
    with pytest.raises(TypeError, match=r"cp\.Checkpoint or a cp\.CheckpointableSaver, not dict"):
        manager_of(tmp_path, checkpoint={1: 2})


@pytest.mark.parametrize("wrong", ["high", None, [1, 2], object()])
def test_a_metric_is_one_number(wrong, tmp_path):
    manager = manager_of(tmp_path)
    with pytest.raises(ValueError, match="'loss' is not a number"):
        save(manager, metrics={"loss": wrong})
    assert on_disk(tmp_path) == []


def test_metrics_without_the_one_that_best_goes_by_are_a_mistake(tmp_path):
    manager = manager_of(tmp_path, best=("loss", "min", 1))
    with pytest.raises(ValueError, match="no 'loss', which best= ranks by; it has 'los'"):
        save(manager, metrics={"los": 1})
    assert on_disk(tmp_path) == []
    assert save(manager) == "ckpt-1"  # without any it is saved, and does not compete


# -- best --------------------------------------------------------------------------------------


def test_the_best_are_kept_beside_the_newest(tmp_path):
    manager = manager_of(tmp_path, 2, best=("acc", "max", 1))
    for accuracy in (0.5, 0.9, 0.1, 0.2, 0.9, np.float32(0.3)):
        save(manager, metrics={"acc": accuracy, "other": 1})
    assert names(manager.best_checkpoints) == ["ckpt-2"]  # of equal ones the older
    assert names(manager.checkpoints) == on_disk(tmp_path) == ["ckpt-2", "ckpt-5", "ckpt-6"]
    save(manager, metrics={"acc": cp.Variable(0.95)})
    assert names(manager.best_checkpoints) == ["ckpt-7"]
    assert names(manager.checkpoints) == on_disk(tmp_path) == ["ckpt-6", "ckpt-7"]


METRIC = st.none() | st.sampled_from([0.0, 1.0, 2.0, math.inf, -math.inf, math.nan]) | st.floats()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    metrics=st.lists(st.tuples(METRIC, st.booleans()), max_size=12),
    max_to_keep=st.integers(1, 3),
    mode=st.sampled_from(["min", "max"]),
    count=st.integers(1, 3),
)
def test_newest_and_best_as_the_words_say(metrics, max_to_keep, mode, count, clock):
    kept: list[tuple[str, float | None]] = []
    with tempfile.TemporaryDirectory() as directory:
        options = {"best": ("m", mode, count)}
        manager = manager_of(directory, max_to_keep, **options)
        for number, (metric, restart) in enumerate(metrics, 1):
            clock.time += 1
            if restart:
                manager = manager_of(directory, max_to_keep, **options)
            given_ = None if metric is None else {"m": metric}
            name = save(manager, checkpoint_number=number, metrics=given_)
            kept.append((name, metric))
            measured = [item for item in kept if item[1] is not None and item[1] == item[1]]
            best = sorted(measured, key=lambda item: item[1] if mode == "min" else -item[1])
            newest = kept[-max_to_keep:]
            kept = [item for item in kept if item in newest or item in best[:count]]
            assert names(manager.best_checkpoints) == [item[0] for item in best[:count]]
            assert names(manager.checkpoints) == [item[0] for item in kept]
            assert set(on_disk(directory)) == {item[0] for item in kept} == data_files(directory)


def test_another_metric_after_a_restart(tmp_path):
    manager = manager_of(tmp_path, None)
    for number in range(1, 5):
        save(manager, metrics={"loss": number, "acc": number})
    manager = manager_of(tmp_path, 1, best=("acc", "max", 2))
    assert names(manager.best_checkpoints) == ["ckpt-4", "ckpt-3"]
    manager = manager_of(tmp_path, 1, best=("loss", "min", 2))
    assert names(manager.best_checkpoints) == ["ckpt-1", "ckpt-2"]
    save(manager, checkpoint_number=5)
    assert on_disk(tmp_path) == ["ckpt-1", "ckpt-2", "ckpt-5"]


def test_one_that_is_kept_for_good_still_competes(tmp_path, clock):
    manager = manager_of(tmp_path, 1, keep_checkpoint_every_n_hours=1, best=("loss", "min", 1))
    for loss in (5, 1, 4, 3):
        clock.time += HOUR
        save(manager, metrics={"loss": loss})
    assert on_disk(tmp_path) == ["ckpt-1", "ckpt-2", "ckpt-3", "ckpt-4"]
    assert names(manager.checkpoints) == ["ckpt-4"]
    again = manager_of(tmp_path, 1, keep_checkpoint_every_n_hours=1, best=("loss", "min", 1))
    assert names(again.best_checkpoints) == ["ckpt-2"]
    clock.time += 1
    save(again, checkpoint_number=5, metrics={"loss": 0})
    assert names(again.best_checkpoints) == ["ckpt-5"]
    assert "ckpt-2" in on_disk(tmp_path)  # for good


# -- only what it wrote --------------------------------------------------------------------------


def test_what_others_wrote_is_never_deleted(tmp_path):  # S16
    checkpoint = program()
    checkpoint.save(tmp_path / "ckpt")  # ckpt-1: in the state file, but none of a manager's
    checkpoint.write(tmp_path / "ckpt-90")
    (tmp_path / "ckpt-2.data-00000-of-00009.bak").write_bytes(b"notes")
    (tmp_path / "ckpt-notes.index.txt").write_bytes(b"notes")
    manager = manager_of(tmp_path, 1, checkpoint)
    assert manager.checkpoints == []
    for _ in range(3):
        save(manager)
    other = manager_of(tmp_path, 1, checkpoint, checkpoint_name="other")
    assert other.checkpoints == []
    for _ in range(2):
        save(other)
    save(manager)
    assert on_disk(tmp_path) == ["ckpt-1", "ckpt-7", "ckpt-90", "other-6"]
    assert (tmp_path / "ckpt-2.data-00000-of-00009.bak").exists()
    assert (tmp_path / "ckpt-notes.index.txt").exists()
    # Each finds its own again.
    assert names(manager_of(tmp_path, 1).checkpoints) == ["ckpt-7"]
    assert names(manager_of(tmp_path, 1, checkpoint_name="other").checkpoints) == ["other-6"]


def test_a_number_and_a_longer_one_are_two_checkpoints(tmp_path):
    manager = manager_of(tmp_path, 1)
    manager.checkpoint.write(tmp_path / "ckpt-10")
    save(manager, checkpoint_number=1)
    save(manager, checkpoint_number=2)
    assert on_disk(tmp_path) == ["ckpt-2", "ckpt-10"]


def test_the_history_survives_a_save_past_the_manager(tmp_path):
    checkpoint = program()
    manager = manager_of(tmp_path, 2, checkpoint, best=("loss", "min", 1))
    for loss in (1, 2, 3, 4):
        save(manager, metrics={"loss": loss})
    checkpoint.save(tmp_path / "ckpt")  # ckpt-5; the state file lists it alone
    manager = manager_of(tmp_path, 2, checkpoint, best=("loss", "min", 1))
    assert names(manager.checkpoints) == ["ckpt-1", "ckpt-3", "ckpt-4"]
    assert manager.latest_checkpoint.endswith("ckpt-5")
    save(manager)
    assert on_disk(tmp_path) == ["ckpt-1", "ckpt-4", "ckpt-5", "ckpt-6"]


def test_what_was_deleted_by_hand_is_no_longer_listed(tmp_path):
    manager = manager_of(tmp_path, 3)
    for _ in range(3):
        save(manager)
    (tmp_path / "ckpt-2.index").unlink()
    again = manager_of(tmp_path, 3)
    assert names(again.checkpoints) == ["ckpt-1", "ckpt-3"]


# -- the only whole one ------------------------------------------------------------------------


def test_the_only_whole_checkpoint_is_not_deleted(tmp_path, caplog, monkeypatch):  # S18
    manager = manager_of(tmp_path, 1)
    save(manager)
    real = ObjectSaver.write

    def write_half(self, prefix, *arguments, **options):
        saved = real(self, prefix, *arguments, **options)
        data = Path(f"{prefix}.data-00000-of-00001")
        data.write_bytes(data.read_bytes()[:-1])  # as after a lost disk
        return saved

    monkeypatch.setattr(ObjectSaver, "write", write_half)
    with caplog.at_level(logging.WARNING):
        save(manager)
        save(manager)
    assert "ckpt-1: kept beyond max_to_keep, because no newer checkpoint is whole" in caplog.text
    assert names(manager.checkpoints) == ["ckpt-1", "ckpt-3"]
    assert data_files(tmp_path) == {"ckpt-1", "ckpt-3"}
    monkeypatch.undo()
    save(manager)
    assert names(manager.checkpoints) == on_disk(tmp_path) == ["ckpt-4"]


def test_what_cannot_be_deleted_is_tried_again(tmp_path, caplog, monkeypatch):
    manager = manager_of(tmp_path, 1)
    save(manager)

    def refuse(path, storage=None, durability="fsync"):
        raise cp.CheckpointPermissionError("cannot delete the file", path=path)

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr("checkpointable.manager.kept.delete_checkpoint", refuse)
        save(manager)
    assert "ckpt-1: could not be deleted" in caplog.text
    assert on_disk(tmp_path) == ["ckpt-1", "ckpt-2"]
    assert names(manager.checkpoints) == ["ckpt-2"]
    again = manager_of(tmp_path, 1)  # also after a restart
    assert names(again.checkpoints) == ["ckpt-2"]
    save(again, checkpoint_number=3)
    assert on_disk(tmp_path) == ["ckpt-3"]
