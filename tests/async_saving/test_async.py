"""Saves that do not block: what they write, when it is there, and where their errors go."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.async_saving import _shared_memory
from checkpointable.bundle import DataType, Record, Staging, StagingMemory, plan_layout
from checkpointable.bundle.staging import is_immutable
from checkpointable.storage.local import LocalStorage

KEY = "v/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def gate(monkeypatch):
    """Background saves wait until it is set before they create their data file."""
    opened = threading.Event()
    create = LocalStorage.create
    main = threading.current_thread()

    def late(self, path, size):
        if threading.current_thread() is not main:
            assert opened.wait(60)
        return create(self, path, size)

    monkeypatch.setattr(LocalStorage, "create", late)
    yield opened
    opened.set()


def program(value=1.0, size=1000):
    variable = cp.Variable(np.full(size, value))
    return variable, cp.Checkpoint(v=variable)


def stored(path, key=KEY):
    with cp.load_checkpoint(path) as reader:
        return reader.get_tensor(key)


def test_changes_after_the_call_are_not_written(tmp_path, gate):  # pytorch/pytorch#144657
    variable, checkpoint = program()
    handle = checkpoint.save(tmp_path / "ck", blocking=False)
    variable.assign_add(np.ones(1000))
    assert not handle.done()
    with pytest.raises(TimeoutError, match="has not ended within"):
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
        "saver": lambda **o: saver.save(tmp_path / "ck", 1, **o),
        "checkpoint": lambda **o: checkpoint.save(tmp_path / "ck", **o),
        "write": lambda **o: checkpoint.write(tmp_path / "ck-1", **o),
        "manager": cp.CheckpointManager(checkpoint, tmp_path, 1, checkpoint_name="ck").save,
        "manager of a saver": cp.CheckpointManager(saver, tmp_path, 1, checkpoint_name="ck").save,
    }
    handle = save[make](blocking=False)
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
        checkpoint.write(tmp_path / "b", blocking=False, max_staging_bytes=limit).result()
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
    first = checkpoint.save(tmp_path / "a" / "ck", blocking=False)
    threading.Timer(0.05, gate.set).start()
    second = checkpoint.save(tmp_path / "a" / "ck", blocking=False)
    assert first.done()
    third = other.save(tmp_path / "b" / "ck", blocking=False)
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
        handle = checkpoint.save(tmp_path / "ck", blocking=False)
        with pytest.raises(cp.CheckpointIOError, match="no space left"):
            handle.result()
    assert "the asynchronous save failed" in caplog.text
    assert "failed: " in repr(handle)
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "ck-1")
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "ck-1.data-00000-of-00001", "ck-1.index"]
    # It was seen, and its number is not used again.
    assert checkpoint.save(tmp_path / "ck") == str(tmp_path / "ck-3")


@pytest.mark.parametrize("blocking", [True, False])
def test_an_error_that_nobody_saw_comes_at_the_next_save(tmp_path, monkeypatch, blocking):
    _, checkpoint = program()
    manager = cp.CheckpointManager(checkpoint, tmp_path, 2)
    with monkeypatch.context() as patch:
        fail(patch)
        manager.save(blocking=False)._finished.wait()
    with pytest.raises(cp.CheckpointIOError, match="no space left"):
        manager.save(blocking=blocking)
    saved = manager.save(blocking=blocking)
    path = saved if blocking else saved.result()
    assert manager.checkpoints == [path]


def test_a_manager_deletes_when_the_new_one_is_there(tmp_path, gate):
    _, checkpoint = program()
    manager = cp.CheckpointManager(checkpoint, tmp_path, 1, best=("loss", "min", 1))
    manager.save(metrics={"loss": 3.0})
    handle = manager.save(metrics={"loss": 2.0}, blocking=False)
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
    assert manager.save(blocking=False).result()
    step.assign(5)
    assert manager.save(blocking=False) is None
    step.assign(20)
    with monkeypatch.context() as patch:
        fail(patch)
        with pytest.raises(cp.CheckpointIOError):
            manager.save(blocking=False).result()
    assert manager.save(blocking=False).result().endswith("ckpt-3")  # that step was not saved


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
    handle = manager.save(blocking=False)
    assert manager.save(blocking=False) is None  # it is not time, and nobody waits
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
    handle = checkpoint.save(
        tmp_path / "ck", blocking=False, progress=lambda *what: told.append(what)
    )
    handle.result()
    assert told[-1][0] == told[-1][1] == handle.progress[1]
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


# -- copies --------------------------------------------------------------------------------


def records(arrays, fresh=()):
    return [
        Record(key, DataType.DT_INT8, array.shape, lambda array=array: array, (), key in fresh)
        for key, array in arrays.items()
    ]


def test_what_nobody_can_change_is_not_copied():
    frozen = np.zeros(100, np.int8)  # whoever has it may make it writeable again
    frozen.flags.writeable = False
    view = np.zeros(100, np.int8)
    read_only = view[:]
    read_only.flags.writeable = False
    of_bytes = np.frombuffer(bytes(100), np.int8)
    assert not is_immutable(frozen)
    assert not is_immutable(frozen[5:])
    assert is_immutable(of_bytes)
    assert is_immutable(of_bytes[5:])
    assert not is_immutable(view)
    assert not is_immutable(read_only)
    assert not is_immutable(np.frombuffer(memoryview(bytearray(100)).toreadonly(), np.int8))

    arrays = {"a": frozen, "b": view, "c": read_only, "d": of_bytes, "e": np.zeros(100, np.int8)}
    plan = plan_layout(records(arrays, fresh={"e"}))
    memory = StagingMemory()
    Staging(plan).copy(memory)
    copied = {
        value.record.key
        for value in plan.values
        if not np.shares_memory(value.record.read(), arrays[value.record.key])
    }
    assert copied == {"a", "b", "c"}
    assert memory.size == 384


@pytest.mark.parametrize("how", ["by a view of before", "made writeable again"])
def test_a_read_only_array_that_is_changed_all_the_same(tmp_path, gate, how):
    table = np.ones(1000)
    before = table[:]
    table.flags.writeable = False

    class Frozen(cp.Checkpointable):
        def _gather_saveables_for_checkpoint(self):
            return {"VARIABLE_VALUE": cp.Value("float64", (1000,), lambda: table, print)}

    handle = cp.Checkpoint(v=Frozen()).save(tmp_path / "ck", blocking=False)
    if how == "by a view of before":
        before[:] = 2
    else:
        table.flags.writeable = True
        table[:] = 2
    gate.set()
    assert (stored(handle.result()) == 1).all()


def test_jax_arrays_are_not_copied():
    numpy = pytest.importorskip("jax.numpy")
    assert is_immutable(np.asarray(numpy.arange(1000.0)))


@pytest.mark.parametrize("limit", [0, 99, 128, 300, 640, 10_000])
def test_the_memory_for_copies_is_bounded(limit):
    arrays = {f"k{i}": np.full(100, i, np.int8) for i in range(5)}
    plan = plan_layout(records(arrays))
    memory = StagingMemory()
    staging = Staging(plan, limit)
    staging.copy(memory)
    assert memory.size <= limit
    for i, value in enumerate(plan.values):
        shared = np.shares_memory(value.record.read(), arrays[f"k{i}"])
        assert shared == (i < staging.direct)
    assert 5 - staging.direct == min(5, 0 if limit < 100 else (limit - 100) // 128 + 1)


def test_memory_is_used_again_and_goes_with_the_last_saver(tmp_path):
    _, checkpoint = program(size=10_000)
    checkpoint.save(tmp_path / "ck", blocking=False).result()
    memory = _shared_memory()
    buffer = memory._memory
    assert memory.size >= 80_000
    checkpoint.save(tmp_path / "ck", blocking=False).result()
    assert memory._memory is buffer
    checkpoint.save(tmp_path / "ck", blocking=False, max_staging_bytes=100).result()
    assert memory.size <= 100
    with pytest.raises(ValueError, match="max_staging_bytes is -1"):
        checkpoint.save(tmp_path / "ck", blocking=False, max_staging_bytes=-1)


def test_a_value_that_cannot_be_written_is_refused_at_once(tmp_path):
    class Odd(cp.Checkpointable):
        def _gather_saveables_for_checkpoint(self):
            return {"VALUE": cp.Value("float32", (3,), lambda: np.zeros(4, "f4"), print)}

    checkpoint = cp.Checkpoint(odd=Odd())
    for _ in range(2):  # and nothing stays taken by it
        with pytest.raises(cp.CheckpointMismatchError, match=r"shape \(3,\)"):
            checkpoint.save(tmp_path / "ck", blocking=False)
    assert int(checkpoint.save_counter) == 0
    assert program()[1].save(tmp_path / "ck", blocking=False).result()


def test_a_saver_can_be_copied_after_an_asynchronous_save(tmp_path):
    _, checkpoint = program()
    saver = cp.CheckpointableSaver(checkpoint)
    checkpoint.save(tmp_path / "ck", blocking=False).result()
    saver.save(tmp_path / "other", blocking=False).result()
    for again in (copy.deepcopy(checkpoint), pickle.loads(pickle.dumps(checkpoint))):
        assert again.save(tmp_path / "again", blocking=False).result()
    copy.deepcopy(saver)


def test_the_working_directory_may_change(tmp_path, monkeypatch, gate):
    monkeypatch.chdir(tmp_path)
    _, checkpoint = program()
    handle = checkpoint.save("ck", blocking=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    gate.set()
    handle.result()
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "ck-1")
    assert not os.listdir()


# -- processes -----------------------------------------------------------------------------

START = """
import os, sys, time, threading
import numpy as np
import checkpointable as cp
from checkpointable.storage.local import LocalStorage
variable = cp.Variable(np.ones(2_000_000))
checkpoint = cp.Checkpoint(v=variable)
"""


def run(tmp_path, program):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", START + program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "import atexit; atexit.register(print)"])
def test_the_interpreter_waits_when_it_exits(tmp_path, ending):
    slow = """
create = LocalStorage.create
def late(self, path, size):
    time.sleep(0.3)
    return create(self, path, size)
LocalStorage.create = late
checkpoint.save(sys.argv[1] + "/ck", blocking=False)
"""
    run(tmp_path, slow + ending)
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "ck-1")
    assert (stored(tmp_path / "ck-1") == 1).all()


def test_an_error_at_exit_is_logged(tmp_path):
    done = run(
        tmp_path,
        """
def refuse(self, path, size):
    raise cp.CheckpointIOError("no space left", path=path)
LocalStorage.create = refuse
checkpoint.save(sys.argv[1] + "/ck", blocking=False)
""",
    )
    assert "the asynchronous save failed" in done.stderr


FORK = """
inside, go = threading.Event(), threading.Event()
plain = LocalStorage.HELD
def late(self, *arguments):
    if threading.current_thread() is not threading.main_thread() and not go.is_set():
        inside.set()
        assert go.wait(60)
    return plain(self, *arguments)
LocalStorage.HELD = late

import warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
handle = checkpoint.save(sys.argv[1] + "/ck", blocking=False)
assert inside.wait(60)
read, write = os.pipe()
child = os.fork()
if not child:
    status = 1
    try:
        os.close(write)
        LocalStorage.HELD = plain
        try:
            handle.result()
        except RuntimeError as error:
            assert "was forked from" in str(error)
        path = checkpoint.save(sys.argv[1] + "/child/ck", blocking=False).result()
        assert path.endswith("child/ck-2"), path
        os.read(read, 1)  # lives until the parent has saved twice
        status = 0
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(status)
os.close(read)
go.set()
handle.result(60)
checkpoint.save(sys.argv[1] + "/ck", blocking=False).result(60)
os.close(write)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("held", ["create", "rename"])
def test_a_forked_process_can_save_and_does_not_hold_up_its_parent(tmp_path, held):
    run(
        tmp_path,
        FORK.replace("HELD", held),
    )
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "ck-2")
    assert cp.latest_checkpoint(tmp_path / "child") == str(tmp_path / "child" / "ck-2")


def test_memory_stays_within_one_copy(tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    run(
        tmp_path,
        """
from tests.memory import Peak
variable = cp.Variable(np.ones(16_000_000))  # 128 MB
checkpoint = cp.Checkpoint(v=variable)
checkpoint.write(sys.argv[1] + "/first", durability="flush")
with Peak() as peak:
    checkpoint.write(sys.argv[1] + "/again", durability="flush")
assert peak.added < 64e6, peak.added
with Peak() as peak:
    for _ in range(3):
        checkpoint.save(sys.argv[1] + "/ck", blocking=False, durability="flush")
    checkpoint._saves.settle()
assert peak.added < 128e6 + 64e6, peak.added
with Peak() as peak:
    checkpoint.save(sys.argv[1] + "/ck", blocking=False, max_staging_bytes=0).result()
assert peak.added < 64e6, peak.added
with Peak() as peak:
    checkpoint.restore(sys.argv[1] + "/first")
assert peak.added < 64e6, peak.added
""",
    )


def test_tensors_are_as_they_were(tmp_path):  # pytorch/pytorch#144657, with its own objects
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    checkpoint = cp.Checkpoint(model=model, optimizer=optimizer)
    handle = checkpoint.save(tmp_path / "ck", blocking=False)
    optimizer.step()
    with torch.no_grad():
        model.weight.zero_()
    handle.result()
    other = torch.nn.Linear(3, 2)
    cp.Checkpoint(model=other).restore(handle.path).expect_partial()
    assert all(torch.equal(other.state_dict()[name], before[name]) for name in before)
