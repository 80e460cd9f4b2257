"""The same saves through our manager and TensorFlow's keep the same checkpoints (S14-S16)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import checkpointable as cp
from tests.manager.helpers import data_files, names, on_disk, program

OURS, THEIRS = "ours", "theirs"


def start(who, directory, options):
    if who == OURS:
        return cp.CheckpointManager(program(), directory, **options)
    return tf.train.CheckpointManager(
        tf.train.Checkpoint(v=tf.Variable([0.0] * 8)), directory, **options
    )


def step(manager, action):
    """One action; returns the manager's view of the directory after it."""
    kind, number = action
    if kind == "save":
        # Where the counter stands is not compared: a manager that was made anew starts at 0.
        path = (
            manager.save(number, durability="flush")
            if isinstance(manager, cp.CheckpointManager)
            else manager.save(number)
        )
        assert os.path.basename(path) == f"ckpt-{number}"
    latest = manager.latest_checkpoint
    return {
        "latest": latest and os.path.basename(latest),
        "checkpoints": names(manager.checkpoints),
        "on disk": on_disk(manager.directory),
        "data": sorted(data_files(manager.directory)),
        "state": state_of(manager.directory),
    }


def state_of(directory):
    state = tf.train.get_checkpoint_state(directory)
    ours = cp.get_checkpoint_state(directory)
    if state is None:
        assert ours is None
        return None
    assert ours.model_checkpoint_path == state.model_checkpoint_path
    assert ours.all_model_checkpoint_paths == list(state.all_model_checkpoint_paths)
    assert ours.all_model_checkpoint_timestamps == list(state.all_model_checkpoint_timestamps)
    assert ours.last_preserved_timestamp == state.last_preserved_timestamp
    return (
        names([state.model_checkpoint_path]),
        names(state.all_model_checkpoint_paths),
        list(state.all_model_checkpoint_timestamps),
        state.last_preserved_timestamp,
    )


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["save", "save", "save", "restart", "change"]),
        st.integers(1, 12),
        st.sampled_from([1.0, 1800.0, 3600.0, 5000.0, 9000.0]),
    ),
    max_size=14,
)


@pytest.mark.parametrize("other", [THEIRS, OURS])
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    actions=ACTIONS,
    max_to_keep=st.sampled_from([None, 1, 2, 3]),
    hours=st.sampled_from([None, 1, 2.5]),
)
def test_random_saves_and_restarts(other, actions, max_to_keep, hours, clock):
    """Ours beside TensorFlow's; with `other` they also take turns in one directory."""
    options = {"max_to_keep": max_to_keep, "keep_checkpoint_every_n_hours": hours}
    with tempfile.TemporaryDirectory() as above:
        first, second = str(Path(above) / "a"), str(Path(above) / "b")
        turn = OURS
        mixed, plain = start(turn, first, options), start(THEIRS, second, options)
        for kind, number, seconds in actions:
            clock.time += seconds
            if kind != "save":
                if kind == "change":
                    turn = other if turn == OURS else OURS
                mixed, plain = start(turn, first, options), start(THEIRS, second, options)
            assert step(mixed, (kind, number)) == step(plain, (kind, number))


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("check", [True, False])
def test_saving_every_so_many_steps(interval, check, tmp_path):
    ours, theirs = cp.Variable(0), tf.Variable(0)
    managers = [
        cp.CheckpointManager(
            cp.Checkpoint(s=ours),
            tmp_path / "a",
            2,
            step_counter=ours,
            checkpoint_interval=interval,
        ),
        tf.train.CheckpointManager(
            tf.train.Checkpoint(s=theirs),
            str(tmp_path / "b"),
            2,
            step_counter=theirs,
            checkpoint_interval=interval,
        ),
    ]
    for step in [0, 0, 1, 2, 3, 3, 4, 7, 7, 8, 20]:
        ours.assign(step)
        theirs.assign(step)
        first, second = (manager.save(check_interval=check) for manager in managers)
        assert (first and os.path.basename(first)) == (second and os.path.basename(second))
    assert int(managers[0].checkpoint.save_counter) == int(managers[1].checkpoint.save_counter)
    assert managers[0].checkpoint_interval == managers[1].checkpoint_interval == interval


def test_the_step_of_a_restored_checkpoint_counts(tmp_path):
    def both():
        for make, variable, checkpoint, name in (
            (cp.CheckpointManager, cp.Variable(5), cp.Checkpoint, "a"),
            (tf.train.CheckpointManager, tf.Variable(5), tf.train.Checkpoint, "b"),
        ):
            yield make(
                checkpoint(s=variable),
                str(tmp_path / name),
                2,
                step_counter=variable,
                checkpoint_interval=3,
            )

    for manager in both():
        assert manager.restore_or_initialize() is None
        assert manager.save().endswith("ckpt-1")
    for manager in both():
        assert manager.restore_or_initialize().endswith("ckpt-1")
        assert manager.save() is None
        assert manager.save(check_interval=False) is None


def test_what_tensorflow_keeps_for_good_stays(tmp_path, clock):
    options = {"max_to_keep": 3, "keep_checkpoint_every_n_hours": 1}
    manager = start(OURS, str(tmp_path), options)
    for number in (1, 3, 4):
        clock.time += 3600
        manager.save(number)
    clock.time += 1
    start(THEIRS, str(tmp_path), options).save(2)  # preserves ckpt-1
    clock.time += 1
    manager = start(OURS, str(tmp_path), {"max_to_keep": 1})
    assert names(manager.checkpoints) == ["ckpt-3", "ckpt-4", "ckpt-2"]
    manager.save(5)
    assert on_disk(tmp_path) == ["ckpt-1", "ckpt-5"]


def test_tensorflow_takes_over_and_restores(tmp_path):  # S16, S32
    checkpoint = program(3.0)
    manager = cp.CheckpointManager(checkpoint, tmp_path, 2)
    paths = [manager.save() for _ in range(3)]
    assert tf.train.latest_checkpoint(str(tmp_path)) == paths[-1]
    theirs = tf.train.Checkpoint(v=tf.Variable([0.0] * 8))
    other = tf.train.CheckpointManager(theirs, str(tmp_path), 2)
    assert other.checkpoints == paths[1:] == manager.checkpoints
    assert other.restore_or_initialize() == paths[-1]
    assert theirs.v.numpy().tolist() == [3.0] * 8
    assert int(theirs.save_counter) == 3
    assert names([other.save()]) == ["ckpt-4"]

    again = cp.CheckpointManager(program(), tmp_path, 2)
    assert names(again.checkpoints) == ["ckpt-3", "ckpt-4"]
    again.restore_or_initialize()
    assert names([again.save()]) == ["ckpt-5"]
    assert on_disk(tmp_path) == ["ckpt-4", "ckpt-5"]
