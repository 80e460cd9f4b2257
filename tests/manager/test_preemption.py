"""SIGTERM: noted, answered at the next safe point by a save, and the old handler is back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.storage import use_storage
from checkpointable.testing import Fault, FaultyStorage
from tests.manager.helpers import manager_of, on_disk


def test_nothing_is_saved_where_no_signal_comes(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    manager = manager_of(tmp_path)
    with manager.save_on_preemption() as preemption:
        assert signal.getsignal(signal.SIGTERM) != before
        assert not preemption.safe_point()
        assert not preemption.requested
    assert signal.getsignal(signal.SIGTERM) == before
    assert preemption.saved is None
    assert on_disk(tmp_path) == []


def test_a_signal_saves_once_at_the_next_safe_point(tmp_path):
    manager = manager_of(tmp_path, best=("loss", "min", 1))
    with manager.save_on_preemption(metrics=lambda: {"loss": 1.0}) as preemption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert preemption.requested
        assert on_disk(tmp_path) == []
        assert preemption.safe_point()
        assert preemption.saved == manager.latest_checkpoint == str(tmp_path / "ckpt-1")
        assert preemption.safe_point()
    assert on_disk(tmp_path) == ["ckpt-1"]
    assert manager.best_checkpoints == [str(tmp_path / "ckpt-1")]


def test_the_old_handlers_come_back_and_are_called_again(tmp_path):
    calls = []
    signals = (signal.SIGTERM, signal.SIGUSR1)
    before = [signal.signal(number, lambda n, _frame: calls.append(n)) for number in signals]
    try:
        with manager_of(tmp_path).save_on_preemption(signals) as preemption:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert preemption.safe_point()
        assert calls == []
        os.kill(os.getpid(), signal.SIGUSR1)
        assert calls == [signal.SIGUSR1]
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def test_a_handler_that_somebody_else_set_meanwhile_stays(tmp_path):
    before = signal.getsignal(signal.SIGTERM)

    def other(_number, _frame):
        pass

    try:
        with manager_of(tmp_path).save_on_preemption():
            signal.signal(signal.SIGTERM, other)
        assert signal.getsignal(signal.SIGTERM) is other
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_handlers_come_back_after_an_error_too(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    preempted = manager_of(tmp_path).save_on_preemption()
    with pytest.raises(RuntimeError, match="in training"), preempted:
        raise RuntimeError("in training")
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_step_that_is_saved_is_not_saved_again(tmp_path):
    step = cp.Variable(0)
    manager = cp.CheckpointManager(
        cp.Checkpoint(step=step), tmp_path, 3, step_counter=step, checkpoint_interval=10
    )
    manager.save()
    with manager.save_on_preemption() as preemption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert preemption.safe_point()
    assert preemption.saved == str(tmp_path / "ckpt-1")
    step.assign_add(3)  # not yet time for the next, were it not for the signal
    with manager.save_on_preemption() as preemption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert preemption.safe_point()
    assert preemption.saved == str(tmp_path / "ckpt-2")


def test_a_save_that_fails_is_tried_again(tmp_path):
    with manager_of(tmp_path).save_on_preemption() as preemption:
        os.kill(os.getpid(), signal.SIGTERM)
        full = FaultyStorage(0, Fault.ENOSPC)
        with use_storage(full), pytest.raises(cp.CheckpointIOError):
            preemption.safe_point()
        assert preemption.saved is None
        assert preemption.safe_point()
    assert on_disk(tmp_path) == ["ckpt-1"]


def test_other_threads_have_safe_points_too(tmp_path):
    answers = []
    with manager_of(tmp_path).save_on_preemption() as preemption:
        os.kill(os.getpid(), signal.SIGTERM)
        threads = [
            threading.Thread(target=lambda: answers.append(preemption.safe_point()))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 4
    assert on_disk(tmp_path) == ["ckpt-1"]


def test_it_is_entered_in_the_main_thread(tmp_path):
    found = []

    def enter():
        try:
            with manager_of(tmp_path).save_on_preemption():
                pass
        except RuntimeError as error:
            found.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "in the main thread" in found[0]


TRAINING = """
import sys
import checkpointable as cp
step = cp.Variable(0)
manager = cp.CheckpointManager(cp.Checkpoint(step=step), sys.argv[1], 2)
manager.restore_or_initialize()
with manager.save_on_preemption() as preemption:
    print("ready", int(step), flush=True)
    while not preemption.safe_point():
        step.assign_add(1)
print("saved", int(step), flush=True)
"""


def test_a_real_training_that_is_preempted_twice(tmp_path):
    last = 0
    for number in (1, 2):
        process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        with process:
            assert process.stdout.readline() == f"ready {last}\n"
            process.send_signal(signal.SIGTERM)
            last = int(re.fullmatch(r"saved (\d+)\n", process.stdout.readline())[1])
        assert process.returncode == 0
        with cp.load_checkpoint(tmp_path) as reader:
            assert np.array_equal(reader.get_tensor("step/.ATTRIBUTES/VARIABLE_VALUE"), last)
        assert cp.latest_checkpoint(tmp_path) == str(tmp_path / f"ckpt-{number}")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"durability": "sync"}, ValueError, "durability is 'sync'"),
        ({"metrics": {"loss": 1.0}}, TypeError, "a function that returns them, not a dict"),
        ({"signals": (signal.SIGKILL,)}, ValueError, "no program can handle"),
        ({"signals": (12345,)}, ValueError, "no program can handle the signal 12345"),
        ({"signals": ("TERM",)}, TypeError, "a signal is 'TERM'; it must be a number"),
        ({"signals": "TERM"}, TypeError, "signals is 'TERM'; it must be a number"),
        ({"signals": ()}, ValueError, "signals is empty"),
    ],
)
def test_what_cannot_be_is_said_before_a_signal_comes(tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        manager_of(tmp_path).save_on_preemption(**options)


def test_one_signal_may_stand_for_itself(tmp_path):
    with manager_of(tmp_path).save_on_preemption(signal.SIGUSR1) as preemption:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert preemption.safe_point()


def test_a_block_that_is_entered_again_has_signals_of_its_own(tmp_path):
    manager = manager_of(tmp_path)
    preemption = manager.save_on_preemption()
    with preemption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert preemption.safe_point()
    with preemption:
        assert not preemption.safe_point()
        os.kill(os.getpid(), signal.SIGTERM)
        assert preemption.safe_point()
        with pytest.raises(RuntimeError, match="been entered already"):
            preemption.__enter__()
    assert preemption.saved == str(tmp_path / "ckpt-2")
    assert on_disk(tmp_path) == ["ckpt-1", "ckpt-2"]
