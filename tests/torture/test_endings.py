"""How a process may end, fork or be signalled while it saves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.directory.latest import list_checkpoints
from checkpointable.storage import use_storage
from checkpointable.testing import RecordingStorage
from tests.torture.kill import left_over

SIZE = 1_100_000  # written by several threads


def program(value=0, size=SIZE):
    return cp.Checkpoint(v=cp.Variable(np.full(size, value, np.int32)))


def value_of(path):
    with cp.load_checkpoint(path) as reader:
        assert reader.verify() == []
        return int(reader.get_tensor("v/.ATTRIBUTES/VARIABLE_VALUE")[0])


class Held(RecordingStorage):
    """Waits before an operation of a certain kind, by another thread than the main one.

    Attributes:
      reached: set when it is there.
      go: lets it go on.
      armed: whether it waits at all.
    """

    def __init__(self, kind, ending=""):
        super().__init__()
        self.reached, self.go = threading.Event(), threading.Event()
        self.armed = True
        self._kind, self._ending = kind, ending

    def around(self, operation):
        background = threading.current_thread() is not threading.main_thread()
        if (
            background
            and self.armed
            and operation.kind == self._kind
            and operation.path.endswith(self._ending)
            and not self.go.is_set()
        ):
            self.reached.set()
            assert self.go.wait(60)
        return super().around(operation)


def run(source, *arguments, status=0):
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", f"from {__name__} import *\n{source}"),
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
    )
    assert done.returncode == status, done.stderr
    return done


# -- the end -------------------------------------------------------------------------------

AT_EXIT = """
import atexit
checkpoint = program(1)
if sys.argv[2] != "first":
    checkpoint.save_async(sys.argv[1] + "/ckpt")
atexit.register(lambda: getattr(checkpoint, sys.argv[3])(sys.argv[1] + "/ckpt"))
"""


@pytest.mark.parametrize("method", ["save", "save_async"])
@pytest.mark.parametrize("before", ["first", "after another"])
def test_a_save_when_the_interpreter_exits(tmp_path, before, method):
    """Where no thread can be started any more, and none is waited for."""
    run(AT_EXIT, tmp_path, before, method)
    expected = 1 if before == "first" else 2
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / f"ckpt-{expected}")
    assert [value_of(path) for path in list_checkpoints(tmp_path)] == [1] * expected
    assert left_over(tmp_path) == []


ENDINGS = {
    "an exception": ("raise ValueError", 1, 2),
    "an exception in a handler of atexit": ("import atexit; atexit.register(lambda: 1 / 0)", 0, 2),
    "sys.exit": ("sys.exit(3)", 3, 2),
    "os._exit": ("os._exit(4)", 4, 1),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, 1),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, 1),
    "a crash": ("os.abort()", -signal.SIGABRT, 1),
}

UNDER_WAY = """
manager = cp.CheckpointManager(program(1), sys.argv[1], 1)
manager.save()
manager.checkpoint.v.assign(np.full(SIZE, 2, np.int32))
storage = Held("rename", ".index")
with use_storage(storage):
    manager.save_async()
    assert storage.reached.wait(60)
    threading.Timer(0.2, storage.go.set).start()
    ENDING
"""


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_amid_an_asynchronous_save(tmp_path, ending):
    """It is waited for where the interpreter gets to it; else the one before is intact."""
    source, status, value = ENDINGS[ending]
    run(UNDER_WAY.replace("ENDING", source), tmp_path, status=status)
    assert value_of(cp.latest_checkpoint(tmp_path)) == value
    manager = cp.CheckpointManager(program(), tmp_path, 1)
    manager.restore_or_initialize()
    assert int(manager.checkpoint.v.numpy()[0]) == value
    manager.save()
    assert left_over(tmp_path) == []
    assert len(list_checkpoints(tmp_path)) == 1


# -- forks ---------------------------------------------------------------------------------

FORK = """
import warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
import gc, traceback
storage = Held(sys.argv[2], sys.argv[3])
with use_storage(storage):
    storage.armed = False
    manager = cp.CheckpointManager(program(1), sys.argv[1], 5)
    manager.save()
    storage.armed = True
    handle = manager.save_async()
    assert storage.reached.wait(60)
    child = os.fork()
    if not child:
        status = 1
        try:
            storage.go.set()
            # Nothing of the parent's save is open here.
            held = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
            assert not [path for path in held if path.startswith(sys.argv[1])], held
            assert gc.isenabled()
            manager.checkpoint.v.assign(np.full(SIZE, 3, np.int32))
            assert value_of(manager.save(checkpoint_number=7)) == 3
            assert value_of(manager.save_async(checkpoint_number=8).result()) == 3
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if sys.argv[3] in {".index", "history.json"}:  # under the lock that the child waits for
        storage.go.set()
    assert os.waitpid(child, 0)[1] == 0
    storage.go.set()
    assert value_of(handle.result(60)) == 1
"""


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("write", ""), ("rename", ".index"), ("rename", "history.json"), ("rename", "checkpoint")],
)
def test_a_fork_amid_an_asynchronous_save_of_a_manager(tmp_path, kind, ending):
    run(FORK, tmp_path, kind, ending)
    for path in list_checkpoints(tmp_path):
        value_of(path)


ORPHAN = """
import time
storage = Held("rename", ".index")
with use_storage(storage):
    handle = program(2).write_async(sys.argv[1] + "/ck")
    assert storage.reached.wait(60)
    child = os.fork()
    if not child:
        print("here", flush=True)
        sys.stdin.read()  # a data loader that does not notice that its parent is gone
        os._exit(0)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_while_its_child_lives(tmp_path):
    """The child has neither the directory's lock nor that of the temporary file."""
    program(1).write(tmp_path / "ck")
    with subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import *\n{ORPHAN}", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
    ) as parent:
        assert parent.stdout.readline() == b"here\n"
        assert parent.wait() == -signal.SIGKILL
        assert left_over(tmp_path)
        assert value_of(tmp_path / "ck") == 1
        program(3).write(tmp_path / "ck")
        assert value_of(tmp_path / "ck") == 3
        assert left_over(tmp_path) == []
        parent.stdin.close()


LOADERS = """
import torch
class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, i):
        return torch.tensor(i)
manager = cp.CheckpointManager(program(0, 100_000), sys.argv[1], 2)
total = 0
for epoch in range(2):
    loader = torch.utils.data.DataLoader(
        Numbers(), batch_size=16, num_workers=2, multiprocessing_context="fork"
    )
    for batch in loader:
        total += int(batch.sum())
        manager.checkpoint.v.assign(np.full(100_000, total, np.int32))
        manager.save_async(durability="flush")
print(total)
"""


def test_data_loaders_that_fork_beside_asynchronous_saves(tmp_path):
    source = "import warnings; warnings.simplefilter('ignore')\n" + LOADERS
    total = int(run(source, tmp_path).stdout)
    assert total == 2 * 63 * 64 // 2
    assert value_of(cp.latest_checkpoint(tmp_path)) == total
    assert left_over(tmp_path) == []


# -- signals -------------------------------------------------------------------------------


def preempted(manager, storage):
    """Two signals come while an asynchronous save goes on."""
    with use_storage(storage), manager.save_on_preemption() as preemption:
        manager.save_async()
        assert storage.reached.wait(60)
        manager.checkpoint.v.assign(np.full(1000, 2, np.int32))
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Timer(0.1, storage.go.set).start()
        assert preemption.safe_point()
        assert preemption.safe_point()
    return preemption.saved


def test_two_signals_amid_an_asynchronous_save(tmp_path):
    """Both are noted, that save comes to its end, and one more is made."""
    before = signal.getsignal(signal.SIGTERM)
    manager = cp.CheckpointManager(program(1, 1000), tmp_path, 3)
    assert preempted(manager, Held("rename", ".index")) == str(tmp_path / "ckpt-2")
    assert [value_of(path) for path in manager.checkpoints] == [1, 2]
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_asynchronous_save_that_fails_is_told_at_the_safe_point(tmp_path):
    """And the safe point after it saves."""

    class Full(Held):
        def around(self, operation):
            found = super().around(operation)
            if operation.path.endswith(".index") and operation.kind == "rename":
                raise cp.CheckpointIOError("no space left", path=operation.path)
            return found

    manager = cp.CheckpointManager(program(1, 1000), tmp_path, 3)
    with manager.save_on_preemption() as preemption:
        storage = Full("rename", ".index")
        storage.go.set()
        with use_storage(storage):
            handle = manager.save_async()
            handle._finished.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(cp.CheckpointIOError, match="no space left"):
            preemption.safe_point()
        assert preemption.safe_point()
    assert value_of(preemption.saved) == 1


def test_blocks_within_one_another(tmp_path):
    """Each manager is told, and each handler comes back to whom it was of."""
    before = signal.getsignal(signal.SIGTERM)
    inner = cp.CheckpointManager(program(1, 1000), tmp_path / "inner", 3)
    outer = cp.CheckpointManager(program(2, 1000), tmp_path / "outer", 3)
    with outer.save_on_preemption() as first:
        with inner.save_on_preemption() as second:
            os.kill(os.getpid(), signal.SIGTERM)
            assert first.requested
            assert second.safe_point()
        assert first.safe_point()
        with inner.save_on_preemption((signal.SIGUSR1,)) as third:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert third.requested
    assert [value_of(p.saved) for p in (first, second)] == [2, 1]
    assert signal.getsignal(signal.SIGTERM) == before
