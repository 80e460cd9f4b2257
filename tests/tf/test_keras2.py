"""Slots as the optimizers of Keras 2 keep them (`tf_keras.optimizers.legacy`), retold."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tensorflow.python.trackable.autotrackable import AutoTrackable
from tensorflow.python.trackable.base import CheckpointInitialValueCallable
from tensorflow.python.trackable.data_structures import NoDependency

import checkpointable as cp
from tests.tf.files import assert_same_files


class Momentum(AutoTrackable):
    """Makes a slot for a restore, and leaves restoring it to whoever asked for it."""

    def __init__(self):
        self._slots = NoDependency({})
        self._deferred_slot_restorations = NoDependency({})

    def get_slot_names(self):
        return sorted({name for _, name in self._slots})

    def get_slot(self, variable, slot_name):
        return self._slots[variable._unique_id, slot_name]

    def add_slot(self, variable, slot_name, initial_value):
        key = variable._unique_id, slot_name
        if key not in self._slots:
            self._slots[key] = slot = tf.Variable(initial_value, trainable=False)
            waiting = self._deferred_slot_restorations.get(slot_name, {}).pop(key[0], [])
            for position in sorted(waiting, key=lambda own: own.restore_uid, reverse=True):
                position.restore(slot)
        return self._slots[key]

    def _create_or_restore_slot_variable(self, slot_variable_position, slot_name, variable):
        slot = self._slots.get((variable._unique_id, slot_name))
        if slot is None and slot_variable_position.is_simple_variable():
            initial = CheckpointInitialValueCallable(checkpoint_position=slot_variable_position)
            slot = self.add_slot(variable, slot_name, initial())
        if slot is None:
            waiting = self._deferred_slot_restorations.setdefault(slot_name, {})
            waiting.setdefault(variable._unique_id, []).append(slot_variable_position)
        return slot

    def step(self, variable):
        slot = self.add_slot(variable, "momentum", tf.zeros_like(variable))
        slot.assign(0.5 * slot + 1.0)
        variable.assign_sub(slot)
        return variable.numpy().tolist(), slot.numpy().tolist()


class Scaled(AutoTrackable):
    """An optimizer around another one, whose slots it shows as its own (`LossScaleOptimizer`)."""

    def __init__(self):
        self.inner = NoDependency(Momentum())

    def __getattr__(self, name):
        if name in ("get_slot_names", "get_slot", "_create_or_restore_slot_variable", "step"):
            return getattr(self.inner, name)
        raise AttributeError(name)

    def get_slot_names(self):
        return self.inner.get_slot_names()


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("optimizer", [Momentum, Scaled])
def test_slots_are_restored_by_whoever_asks_for_them(tmp_path, optimizer, built):  # S11 S22
    def program():
        return {"v": tf.Variable([1.0, 2.0]), "optimizer": optimizer()}

    first = program()
    first["optimizer"].step(first["v"])
    theirs = tf.train.Checkpoint(**first).save(f"{tmp_path}/theirs")
    ours = cp.Checkpoint(**first).save(f"{tmp_path}/ours")
    assert_same_files(theirs, ours)
    expected = first["optimizer"].step(first["v"])
    for library, path in ((cp, theirs), (tf.train, ours), (cp, ours)):
        again = program()
        if built:
            for _ in range(3):
                again["optimizer"].step(again["v"])
        status = library.Checkpoint(**again).restore(path)
        assert again["optimizer"].step(again["v"]) == expected
        status.assert_consumed()


def test_of_several_restores_of_a_slot_the_last_wins(tmp_path):  # S24
    paths = []
    for start in (1.0, 2.0):
        program = {"v": tf.Variable([start]), "optimizer": Momentum()}
        program["optimizer"].step(program["v"])
        program["optimizer"].get_slot(program["v"], "momentum").assign([start])
        paths.append(cp.Checkpoint(**program).write(f"{tmp_path}/{start}"))
    checkpoint = cp.Checkpoint(v=tf.Variable([0.0]))
    first, second = checkpoint.read(paths[0]), checkpoint.read(paths[1])
    checkpoint.optimizer = Momentum()
    slot = checkpoint.optimizer.get_slot(checkpoint.v, "momentum")
    assert slot.numpy().tolist() == [2.0]
    first.assert_consumed()
    second.assert_consumed()
