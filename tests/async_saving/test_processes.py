"""Saves that do not block, and their process: at its end, forked, the memory that it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import checkpointable as cp
from tests.async_saving.helpers import stored

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
checkpoint.save_async(sys.argv[1] + "/ck")
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
checkpoint.save_async(sys.argv[1] + "/ck")
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
handle = checkpoint.save_async(sys.argv[1] + "/ck")
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
            assert "was forked: wait for it there" in str(error)
        path = checkpoint.save_async(sys.argv[1] + "/child/ck").result()
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
checkpoint.save_async(sys.argv[1] + "/ck").result(60)
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
        checkpoint.save_async(sys.argv[1] + "/ck", durability="flush")
    checkpoint._saves.settle()
assert peak.added < 128e6 + 64e6, peak.added
with Peak() as peak:
    checkpoint.save_async(sys.argv[1] + "/ck", max_staging_bytes=0).result()
assert peak.added < 64e6, peak.added
with Peak() as peak:
    checkpoint.restore(sys.argv[1] + "/first")
assert peak.added < 64e6, peak.added
""",
    )
