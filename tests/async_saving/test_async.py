"""Saves that do not block: what they write, when it is there, and where their errors go."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.storage.local import LocalStorage
from tests.async_saving.helpers import program, stored


def test_changes_after_the_call_are_not_written(tmp_path, gate):  # pytorch/pytorch#144657
    variable, checkpoint = program()
    handle = checkpoint.save_async(tmp_path / "ck")
    variable.assign_add(np.ones(1000))
    assert not handle.done()
    with pytest.raises(TimeoutError, match="did not end within"):
        handle.result(timeout=0.01)
    gate.set()
    assert handle.result() == handle.path == str(tmp_path / "ck-1")
    assert handle.done()
    assert (stored(handle.path) == 1).all()
    assert handle.progress[0] == handle.progress[1] > 8000
    assert "done" in repr(handle)


@pytest.mark.parametrize("make", ["saver", "checkpoint", "write", "manager", "manager of a saver"])
def test_a_checkpoint_is_seen_when_it_is_whole(tmp_path, gate, make):
    variable, checkpoint = program()
    saver = cp.CheckpointableSaver(checkpoint)
    save = {
        "saver": lambda: saver.save_async(tmp_path / "ck", 1),
        "checkpoint": lambda: checkpoint.save_async(tmp_path / "ck"),
        "write": lambda: checkpoint.write_async(tmp_path / "ck-1"),
        "manager": cp.CheckpointManager(checkpoint, tmp_path, 1, checkpoint_name="ck").save_async,
        "manager of a saver": cp.CheckpointManager(
            saver, tmp_path, 1, checkpoint_name="ck"
        ).save_async,
    }
    handle = save[make]()
    assert isinstance(handle, cp.SaveHandle)
    assert cp.latest_checkpoint(tmp_path) is None
    gate.set()
    assert handle.result() == str(tmp_path / "ck-1")
    if make != "write":
        assert cp.get_checkpoint_state(tmp_path).model_checkpoint_path == handle.path
    variable.assign(np.zeros(1000))
    checkpoint.read(handle.path)
    assert (variable.numpy() == 1).all()


def test_a_blocking_save_writes_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)
    checkpoint = cp.Checkpoint(
        **{f"v{i}": cp.Variable(rng.random(i * 37)) for i in range(40)},
        text=cp.Variable(["a", "bc"]),
        half=cp.Variable(np.ones((3, 2)), dtype="bfloat16"),
        state=cp.JSONState(epoch=3),
    )
    for limit in (None, 0, 5000):
        checkpoint.write(tmp_path / "a", durability="flush")
        checkpoint.write_async(tmp_path / "b", max_staging_bytes=limit).result()
        for ending in (".index", ".data-00000-of-00001"):
            if limit is None:  # afterwards the data goes under another number of files
                first = (tmp_path / f"a{ending}").read_bytes()
                assert first == (tmp_path / f"b{ending}").read_bytes()
        with cp.load_checkpoint(tmp_path / "a") as a, cp.load_checkpoint(tmp_path / "b") as b:
            assert a.keys() == b.keys()
            assert all(a.get_bytes(key) == b.get_bytes(key) for key in a.keys())


def test_two_at_once_are_done_one_after_the_other(tmp_path, gate):
    variable, checkpoint = program()
    other_variable, other = program(5.0)
    first = checkpoint.save_async(tmp_path / "a" / "ck")
    threading.Timer(0.05, gate.set).start()
    second = checkpoint.save_async(tmp_path / "a" / "ck")
    assert first.done()
    third = other.save_async(tmp_path / "b" / "ck")
    variable.assign(np.zeros(1000))
    other_variable.assign(np.zeros(1000))
    assert second.result().endswith("ck-2")
    assert (stored(third.result()) == 5).all()
    assert (stored(second.path) == 1).all()


def fail(monkeypatch):
    def refuse(self, path, size):
        raise cp.CheckpointIOError("no space left", path=path)

    monkeypatch.setattr(LocalStorage, "create", refuse)


def test_an_error_comes_at_result(tmp_path, monkeypatch, caplog):
    _, checkpoint = program()
    checkpoint.save(tmp_path / "ck")
    with monkeypatch.context() as patch:
        fail(patch)
        handle = checkpoint.save_async(tmp_path / "ck")
        with pytest.raises(cp.CheckpointIOError, match="no space left"):
            handle.result()
    assert "the asynchronous save failed" in caplog.text
    assert "failed: " in repr(handle)
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "ck-1")
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "ck-1.data-00000-of-00001", "ck-1.index"]
    # It was seen, and its number is not used again.
    assert checkpoint.save(tmp_path / "ck") == str(tmp_path / "ck-3")


@pytest.mark.parametrize("method", ["save", "save_async"])
def test_an_error_that_nobody_saw_comes_at_the_next_save(tmp_path, monkeypatch, method):
    _, checkpoint = program()
    manager = cp.CheckpointManager(checkpoint, tmp_path, 2)
    save = getattr(manager, method)
    with monkeypatch.context() as patch:
        fail(patch)
        manager.save_async()._finished.wait()
    with pytest.raises(cp.CheckpointIOError, match="no space left"):
        save()
    saved = save()
    path = saved if method == "save" else saved.result()
    assert manager.checkpoints == [path]


def test_a_manager_deletes_when_the_new_one_is_there(tmp_path, gate):
    _, checkpoint = program()
    manager = cp.CheckpointManager(checkpoint, tmp_path, 1, best=("loss", "min", 1))
    manager.save(metrics={"loss": 3.0})
    handle = manager.save_async(metrics={"loss": 2.0})
    assert manager.latest_checkpoint == str(tmp_path / "ckpt-1")
    assert manager.checkpoints == [str(tmp_path / "ckpt-1")]
    assert (tmp_path / "ckpt-1.index").exists()
    gate.set()
    handle.result()
    assert manager.checkpoints == manager.best_checkpoints == [handle.path]
    assert not (tmp_path / "ckpt-1.index").exists()


def test_a_manager_counts_steps_from_the_call(tmp_path, monkeypatch):
    step, checkpoint = cp.Variable(0), program()[1]
    manager = cp.CheckpointManager(
        checkpoint, tmp_path, 3, step_counter=step, checkpoint_interval=10
    )
    assert manager.save_async().result()
    step.assign(5)
    assert manager.save_async() is None
    step.assign(20)
    with monkeypatch.context() as patch:
        fail(patch)
        with pytest.raises(cp.CheckpointIOError):
            manager.save_async().result()
    assert manager.save_async().result().endswith("ckpt-3")  # that step was not saved


@pytest.mark.parametrize("well", [True, False])
def test_a_manager_waits_for_this_very_step_to_be_there(tmp_path, monkeypatch, gate, well):
    step, checkpoint = cp.Variable(7), program()[1]
    manager = cp.CheckpointManager(
        checkpoint, tmp_path, 3, step_counter=step, checkpoint_interval=10
    )

    def refuse(self, path, size):
        assert gate.wait(60)
        raise cp.CheckpointIOError("no space left", path=path)

    if not well:
        monkeypatch.setattr(LocalStorage, "create", refuse)
    handle = manager.save_async()
    assert manager.save_async() is None  # it is not time, and nobody waits
    assert not handle.done()
    threading.Timer(0.2, gate.set).start()
    # The end of a training: it must not take for saved what is not.
    if well:
        assert manager.save(check_interval=False) is None
        assert manager.latest_checkpoint == handle.path
    else:
        with pytest.raises(cp.CheckpointIOError):
            manager.save(check_interval=False)
    assert handle.done()


def test_progress_is_told_while_it_is_written(tmp_path):
    _, checkpoint = program(size=2_000_000)
    told = []
    handle = checkpoint.save_async(tmp_path / "ck", progress=lambda *what: told.append(what))
    handle.result()
    assert told[-1][0] == told[-1][1] == handle.progress[1]
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def test_a_value_that_cannot_be_written_is_refused_at_once(tmp_path):
    class Odd(cp.Checkpointable):
        def _gather_saveables_for_checkpoint(self):
            return {"VALUE": cp.Value("float32", (3,), lambda: np.zeros(4, "f4"), print)}

    checkpoint = cp.Checkpoint(odd=Odd())
    for _ in range(2):  # and nothing stays taken by it
        with pytest.raises(cp.CheckpointMismatchError, match=r"shape \(3,\)"):
            checkpoint.save_async(tmp_path / "ck")
    assert int(checkpoint.save_counter) == 0
    assert program()[1].save_async(tmp_path / "ck").result()


def test_a_saver_can_be_copied_after_an_asynchronous_save(tmp_path):
    _, checkpoint = program()
    saver = cp.CheckpointableSaver(checkpoint)
    checkpoint.save_async(tmp_path / "ck").result()
    saver.save_async(tmp_path / "other").result()
    for again in (copy.deepcopy(checkpoint), pickle.loads(pickle.dumps(checkpoint))):
        assert again.save_async(tmp_path / "again").result()
    copy.deepcopy(saver)


def test_the_working_directory_may_change(tmp_path, monkeypatch, gate):
    monkeypatch.chdir(tmp_path)
    _, checkpoint = program()
    handle = checkpoint.save_async("ck")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    gate.set()
    handle.result()
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "ck-1")
    assert not os.listdir()
