"""What a manager restores: the latest, or the newest that is whole (S18, S32, S33)."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.manager.history import HISTORY_FILE_NAME
from tests.manager.helpers import (
    flip,
    manager_of,
    names,
    program,
    save,
)


def test_the_first_start_and_every_later_one(tmp_path):  # S32
    called = []

    def start():
        checkpoint = program()
        manager = manager_of(tmp_path, 2, checkpoint, init_fn=lambda: called.append(1))
        return checkpoint, manager, manager.restore_or_initialize()

    checkpoint, manager, path = start()
    assert path is None
    assert called == [1]
    checkpoint.v.assign(np.full(8, 4.0))
    save(manager)
    checkpoint, manager, path = start()
    assert path == str(tmp_path / "ckpt-1") == manager.latest_checkpoint
    assert called == [1]
    assert checkpoint.v.numpy().tolist() == [4.0] * 8
    assert save(manager) == "ckpt-2"


def test_without_a_state_file_training_does_not_start_over(tmp_path, caplog):  # S32
    save(manager_of(tmp_path, checkpoint=program(2.0)))
    (tmp_path / "checkpoint").unlink()
    with caplog.at_level(logging.WARNING):
        manager = manager_of(tmp_path)
    assert "no state file" in caplog.text
    assert manager.restore_or_initialize().endswith("ckpt-1")
    assert names(manager.checkpoints) == ["ckpt-1"]


def valid(directory, max_to_keep=None, **options):
    checkpoint = program()
    manager = manager_of(directory, max_to_keep, checkpoint, **options)
    return manager, checkpoint


def five(directory):
    manager, checkpoint = valid(directory)
    for value in range(1, 6):
        checkpoint.v.assign(np.full(8, value))
        save(manager)
    return manager, checkpoint


def test_going_back_to_the_newest_that_is_whole(tmp_path, caplog):  # S18, S33
    five(tmp_path)
    flip(tmp_path / "ckpt-5.data-00000-of-00001", 0)  # a checksum does not hold
    flip(tmp_path / "ckpt-4.index", 3)
    data = tmp_path / "ckpt-3.data-00000-of-00001"
    data.unlink()
    manager, checkpoint = valid(tmp_path)
    with caplog.at_level(logging.WARNING):
        manager.restore_latest_valid().assert_consumed()
    assert checkpoint.v.numpy().tolist() == [2.0] * 8
    assert manager.latest_checkpoint.endswith("ckpt-2")
    skipped = [line for line in caplog.messages if "skipped" in line]
    assert [line.split(":")[0].rpartition("-")[2] for line in skipped] == ["5", "4", "3"]
    assert "ckpt-5.data-00000-of-00001, key '_CHECKPOINTABLE_OBJECT_GRAPH', offset" in skipped[0]
    assert "checksum" in skipped[0]
    assert "data file is missing" in skipped[2]
    assert save(manager) == "ckpt-3"  # over the damaged one


def test_a_whole_one_is_restored_at_once(tmp_path, caplog):
    five(tmp_path)
    manager, checkpoint = valid(tmp_path)
    with caplog.at_level(logging.WARNING):
        manager.restore_latest_valid().assert_consumed()
    assert checkpoint.v.numpy().tolist() == [5.0] * 8
    assert not caplog.messages


def test_none_there_is_a_first_start(tmp_path):  # S32
    manager, _ = valid(tmp_path)
    status = manager.restore_latest_valid()
    assert isinstance(status, cp.InitializationOnlyStatus)


def test_none_whole_is_an_error(tmp_path):  # S32
    five(tmp_path)
    for index in tmp_path.glob("*.index"):
        flip(index, 3)
    manager, checkpoint = valid(tmp_path)
    with pytest.raises(
        cp.CheckpointCorruptError, match="none of the 5 checkpoints here is complete"
    ):
        manager.restore_latest_valid()
    assert checkpoint.v.numpy().tolist() == [0.0] * 8


def test_another_programs_checkpoint_is_no_damage(tmp_path):  # S25
    five(tmp_path)
    other = cp.Checkpoint(v=cp.Variable(np.zeros(3, np.float32)))
    manager = manager_of(tmp_path, None, other)
    with pytest.raises(cp.CheckpointMismatchError):
        manager.restore_latest_valid()


def test_those_that_no_file_lists_come_last(tmp_path):
    manager, _ = five(tmp_path)
    (tmp_path / "checkpoint").unlink()
    (tmp_path / HISTORY_FILE_NAME).unlink()
    flip(tmp_path / "ckpt-5.data-00000-of-00001", 0)
    manager, checkpoint = valid(tmp_path)
    manager.restore_latest_valid()
    assert checkpoint.v.numpy().tolist() == [4.0] * 8


def test_a_step_that_was_restored_is_not_saved_again(tmp_path):
    step = cp.Variable(0)

    def make():
        return manager_of(
            tmp_path, 3, cp.Checkpoint(step=step), step_counter=step, checkpoint_interval=10
        )

    manager = make()
    step.assign(10)
    assert save(manager) == "ckpt-1"
    step.assign(0)
    manager = make()
    manager.restore_latest_valid()
    assert int(step) == 10
    assert save(manager) is None
