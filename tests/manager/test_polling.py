"""checkpoints_iterator, with a clock that only its own waiting moves."""

from __future__ import annotations

import os

import pytest
import tensorflow as tf

import checkpointable as cp
from tests.manager.helpers import flip, manager_of, names, program


class World:
    """A clock, and what happens at which second."""

    def __init__(self):
        self.time = 0.0
        self.events = {}

    def now(self):
        return self.time

    def sleep(self, seconds):
        assert seconds > 0
        end = self.time + seconds
        for at in sorted(at for at in self.events if at <= end):
            self.events.pop(at)()
        self.time = end


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr("checkpointable.directory.polling.now", world.now)
    monkeypatch.setattr("checkpointable.directory.polling.sleep", world.sleep)
    return world


def test_each_new_one_as_it_appears(tmp_path, world):
    directory = tmp_path / "later"  # need not exist yet
    manager = manager_of(directory, 1)
    for second in (3, 4, 50):
        world.events[second] = manager.save
    seen = [
        (os.path.basename(path), world.time)
        for path in cp.checkpoints_iterator(directory, timeout=60)
    ]
    assert [name for name, _ in seen] == ["ckpt-1", "ckpt-2", "ckpt-3"]
    assert [time for _, time in seen] == [3, 4, 50]
    assert world.time >= 109


def test_what_was_superseded_meanwhile_is_left_out(tmp_path, world):
    manager = manager_of(tmp_path, None)
    for second in range(1, 30):
        world.events[second] = manager.save
    found = cp.checkpoints_iterator(tmp_path, min_interval_secs=10, timeout=5)
    assert names(found) == ["ckpt-1", "ckpt-11", "ckpt-21", "ckpt-29"]


def test_one_that_is_written_again_is_new(tmp_path, world):
    checkpoint = program()
    checkpoint.save(tmp_path / "ckpt")

    def again():
        checkpoint.save_counter.assign(0)
        checkpoint.v.assign(checkpoint.v.numpy() + 1)
        checkpoint.save(tmp_path / "ckpt")

    world.events[5] = again
    values = []
    for path in cp.checkpoints_iterator(tmp_path, timeout=10):
        with cp.load_checkpoint(path) as reader:
            values.append(float(reader.get_tensor("v/.ATTRIBUTES/VARIABLE_VALUE")[0]))
    assert values == [0.0, 1.0]


def test_only_whole_ones(tmp_path, world):
    checkpoint = program()
    path = checkpoint.save(tmp_path / "ckpt")
    flip(f"{path}.index", 3)
    world.events[7] = lambda: checkpoint.save(tmp_path / "ckpt")
    assert names(cp.checkpoints_iterator(tmp_path, timeout=20)) == ["ckpt-2"]


def test_a_timeout_ends_it(tmp_path, world):
    assert list(cp.checkpoints_iterator(tmp_path, timeout=30)) == []
    assert 29 <= world.time <= 30
    assert list(cp.checkpoints_iterator(tmp_path / "nowhere", timeout=0)) == []


def test_the_timeout_function_decides(tmp_path, world):
    asked = []

    def done():
        asked.append(world.time)
        return len(asked) == 3

    assert list(cp.checkpoints_iterator(tmp_path, timeout=10, timeout_fn=done)) == []
    assert len(asked) == 3


def test_it_is_asked_after_each_checkpoint_as_well(tmp_path, world):
    """As TensorFlow does."""
    manager = manager_of(tmp_path, 3)
    manager.save()

    def always():
        return True

    assert len(list(cp.checkpoints_iterator(tmp_path, timeout_fn=always))) == 1
    assert len(list(tf.train.checkpoints_iterator(str(tmp_path), timeout_fn=always))) == 1


def test_waiting_for_ever_says_nothing_and_what_is_wrong_once(tmp_path, world, caplog):
    checkpoint = program()
    path = checkpoint.save(tmp_path / "ckpt")
    flip(f"{path}.index", 3)
    world.events[500] = lambda: checkpoint.save(tmp_path / "ckpt")
    found = cp.checkpoints_iterator(tmp_path)
    assert names([next(found)]) == ["ckpt-2"]
    assert len(caplog.messages) == 1
    assert "ckpt-1, which is damaged" in caplog.text
