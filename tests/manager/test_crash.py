"""Killed anywhere, a manager leaves whole checkpoints, and the next one goes on (S16, S18)."""

from __future__ import annotations

import pytest

import checkpointable as cp
from checkpointable.storage.local import LocalStorage
from tests.manager.helpers import data_files, manager_of, names, on_disk, program, save

OPERATIONS = ("create", "rename", "delete")


class Killed(BaseException):
    """Nothing handles it, and nothing works after it."""


@pytest.fixture
def machine(monkeypatch):
    """Counts what changes the directory, and dies before the n-th of them."""

    class Machine:
        done = 0
        dies_at = None

    machine = Machine()
    for name in OPERATIONS:
        real = getattr(LocalStorage, name)

        def operation(self, *arguments, real=real):
            if machine.dies_at is not None and machine.done >= machine.dies_at:
                raise Killed
            machine.done += 1
            return real(self, *arguments)

        monkeypatch.setattr(LocalStorage, name, operation)
    return machine


OPTIONS = {"best": ("loss", "min", 1)}
LOSSES = [3, 1, 2, 5]


def four(directory):
    checkpoint = program()
    manager = manager_of(directory, 2, checkpoint, **OPTIONS)
    for loss in LOSSES:
        save(manager, metrics={"loss": loss})
    return manager


def test_killed_before_any_step_of_a_save_and_sweep(tmp_path, machine, caplog):
    four(tmp_path / "whole")
    machine.done = 0
    manager = four(tmp_path / "count")
    before = machine.done
    save(manager, metrics={"loss": 4})
    steps = machine.done - before
    assert steps >= 8  # data, index, history, state and its names, deletions

    seen = set()
    for step in range(steps + 1):
        directory = tmp_path / str(step)
        machine.dies_at = None
        manager = four(directory)
        machine.done, machine.dies_at = 0, step
        try:
            save(manager, metrics={"loss": 4})
        except Killed:
            assert step < steps
        machine.dies_at = None

        # What is there is whole, and the latest is that of before or the new one.
        there = on_disk(directory)
        latest = cp.latest_checkpoint(directory)
        assert names([latest]) in (["ckpt-4"], ["ckpt-5"])
        assert {"ckpt-2", "ckpt-4"} <= set(there)
        state = cp.get_checkpoint_state(directory)
        assert names([state.model_checkpoint_path]) == names([latest])
        assert set(names(state.all_model_checkpoint_paths)) <= set(there)
        seen.add((*there, *names([latest])))

        # The next one goes on: nothing is forgotten, nothing half is left.
        again = manager_of(directory, 2, program(), **OPTIONS)
        assert names(again.best_checkpoints) == ["ckpt-2"]
        again.restore_or_initialize()
        for loss in (6, 7, 8):
            save(again, metrics={"loss": loss})
        kept = names(again.checkpoints)
        # One that was published but not noted any more is nobody's, and stays.
        assert set(on_disk(directory)) - {"ckpt-5"} == set(kept) - {"ckpt-5"}
        assert len(kept) == 3
        assert kept[0] == "ckpt-2"
        assert data_files(directory) == set(on_disk(directory))
    assert len(seen) >= 3
    assert not caplog.messages


def test_the_state_file_names_nothing_that_is_being_deleted(tmp_path, monkeypatch):  # S16
    looks = []
    real = LocalStorage.delete

    def delete(self, path):
        state = cp.get_checkpoint_state(tmp_path)
        looks.append((path.rpartition("/")[2], names(state.all_model_checkpoint_paths)))
        real(self, path)

    manager = manager_of(tmp_path, 1)
    save(manager)
    monkeypatch.setattr(LocalStorage, "delete", delete)
    save(manager)
    assert looks == [
        ("ckpt-1.index", ["ckpt-2"]),  # the index first
        ("ckpt-1.data-00000-of-00001", ["ckpt-2"]),
    ]
