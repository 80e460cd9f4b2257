"""Threads and processes that save and restore beside one another; a fork after a save."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np

import checkpointable as cp
from checkpointable.directory.deletion import delete_checkpoint
from checkpointable.directory.latest import list_checkpoints
from checkpointable.maintenance.repair import repair_directory
from checkpointable.storage import use_storage
from checkpointable.testing import RecordingStorage
from tests.torture.kill import left_over

SIZE = 5_000


def program(value=0):
    return cp.Checkpoint(
        v=cp.Variable(np.full(SIZE, value, np.int32)), at=cp.JSONState({"value": value})
    )


def value_of(path):
    """The value of a checkpoint, all of whose parts are of one save."""
    checkpoint = program()
    checkpoint.read(path).expect_partial()
    value = checkpoint.at["value"]
    assert (checkpoint.v.numpy() == value).all()
    return value


def all_at_once(*works):
    """Runs functions in threads; raises the first error."""
    failures = []

    def guarded(work):
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in failures:
        raise error


def test_threads_save_to_prefixes_of_their_own(tmp_path):
    def work(number):
        def save():
            for value in range(number, number + 5):
                program(value).write(tmp_path / f"ck{number}", durability="flush")
                assert value_of(tmp_path / f"ck{number}") == value

        return save

    all_at_once(*(work(number) for number in (0, 10, 20, 30)))
    assert [value_of(tmp_path / f"ck{n}") for n in (0, 10, 20, 30)] == [4, 14, 24, 34]
    assert left_over(tmp_path) == []


def test_threads_save_to_one_prefix_and_others_restore(tmp_path):
    program(1).write(tmp_path / "ck", durability="flush")
    seen = set()

    def save(value):
        for _ in range(8):
            program(value).write(tmp_path / "ck", durability="flush")

    def restore():
        for _ in range(30):
            seen.add(value_of(tmp_path / "ck"))

    all_at_once(*(partial(save, value) for value in (2, 3, 4)), restore, restore)
    assert seen <= {1, 2, 3, 4}
    assert value_of(tmp_path / "ck") in {2, 3, 4}
    assert left_over(tmp_path) == []


def test_threads_save_by_one_manager(tmp_path):
    """One after the other: each gets a number of its own."""
    manager = cp.CheckpointManager(program(1), tmp_path, 3)
    paths = []

    def save():
        paths.extend(manager.save(durability="flush") for _ in range(5))

    all_at_once(save, save, save)
    assert sorted(map(os.path.basename, paths)) == sorted(f"ckpt-{n}" for n in range(1, 16))
    assert [os.path.basename(p) for p in manager.checkpoints] == ["ckpt-13", "ckpt-14", "ckpt-15"]
    assert left_over(tmp_path) == []


def test_threads_save_by_one_checkpoint(tmp_path):
    """Each save has a number of its own, and the counter in it is that number."""
    checkpoint = program(1)
    assert int(checkpoint.save_counter) == 0
    paths = []

    def save():
        for turn in range(6):
            save = checkpoint.save if turn % 2 == 0 else checkpoint.save_async
            handle = save(tmp_path / "ck", durability="flush")
            paths.append(handle if isinstance(handle, str) else handle.result())

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        all_at_once(save, save, save)
    finally:
        sys.setswitchinterval(switch)
    assert sorted(map(os.path.basename, paths)) == sorted(f"ck-{n}" for n in range(1, 19))
    for path in paths:
        with cp.load_checkpoint(path) as reader:
            counter = int(reader.get_tensor("save_counter/.ATTRIBUTES/VARIABLE_VALUE"))
        assert path.endswith(f"-{counter}")
    assert left_over(tmp_path) == []


class Beside(RecordingStorage):
    """Does something in another thread before the index of `ck` gets its name.

    That thread has a while to do its harm, and may go on after the save.
    """

    def __init__(self, work):
        super().__init__()
        self._work = work
        self.thread = None

    def around(self, operation):
        final = operation.kind == "rename" and operation.path.endswith("ck.index")
        if final and self.thread is None:
            self.thread = threading.Thread(target=self._work)
            self.thread.start()
            self.thread.join(0.3)
        return super().around(operation)


def test_a_deletion_beside_a_save_of_the_same_name(tmp_path):
    """It comes before or after, and never takes the data that waits for its index."""
    program(1).write(tmp_path / "ck")
    storage = Beside(lambda: delete_checkpoint(str(tmp_path / "ck")))
    with use_storage(storage):
        program(2).write(tmp_path / "ck")
    storage.thread.join()
    names = os.listdir(tmp_path)
    assert not names or value_of(tmp_path / "ck") == 2


def test_a_repair_beside_a_save_that_replaces_what_is_damaged(tmp_path):
    """What it deletes is what it has read, not what has come in its place."""
    program(1).write(tmp_path / "good")
    program(1).write(tmp_path / "ck")
    data = tmp_path / "ck.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    storage = Beside(lambda: repair_directory(str(tmp_path), delete=True))
    with use_storage(storage):
        program(2).write(tmp_path / "ck")
    storage.thread.join()
    assert value_of(tmp_path / "ck") == 2
    assert value_of(tmp_path / "good") == 1
    assert left_over(tmp_path) == []


def test_two_managers_of_one_name_take_turns(tmp_path):
    """Each deletes what it wrote itself; what was saved last is there, whoever saved it."""
    one = cp.CheckpointManager(program(1), tmp_path, 1)
    two = cp.CheckpointManager(program(2), tmp_path, 1)
    for turn in range(6):
        own = (one, two)[turn % 2]
        path = own.save(checkpoint_number=turn // 2, durability="flush")
        assert value_of(path) == 1 + turn % 2
        assert cp.latest_checkpoint(tmp_path) == path
    assert left_over(tmp_path) == []


def test_a_restore_begun_before_a_save_ends_with_the_old_values(tmp_path):
    path = program(1).write(tmp_path / "ck", durability="flush")
    late = cp.Checkpoint(v=cp.Variable(np.zeros(SIZE, np.int32)))
    late.read(path)
    for value in (2, 3, 4):
        program(value).write(tmp_path / "ck", durability="flush")
    late.at = cp.JSONState({})
    assert late.at["value"] == 1
    assert (late.v.numpy() == 1).all()


def test_a_fork_after_a_save(tmp_path):
    """No lock or thread of the parent's keeps the child from saving, nor the reverse.

    In a process of its own: one with other threads must not fork.
    """
    source = f"""
import os, sys
from {__name__} import *
directory = sys.argv[1]
large = np.arange(2_000_000)               # written and read by several threads
checkpoint = cp.Checkpoint(v=cp.Variable(large))
manager = cp.CheckpointManager(checkpoint, directory, 2)
manager.save()
waiting = cp.Checkpoint()
waiting.restore(directory + "/ckpt-1")     # its file is open in both
child = os.fork()
checkpoint.v.assign(large + (1 if child else 2))
if child:
    manager.save(checkpoint_number=10)
    assert os.waitpid(child, 0)[1] == 0
else:
    manager.save(checkpoint_number=20)
waiting.v = cp.Variable(np.zeros_like(large))
assert (waiting.v.numpy() == large).all()
if not child:
    os._exit(0)
for number, more in ((10, 1), (20, 2)):
    with cp.load_checkpoint(directory + f"/ckpt-{{number}}") as reader:
        assert reader.verify() == []
        assert (reader.get_tensor("v/.ATTRIBUTES/VARIABLE_VALUE") == large + more).all()
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", source, str(tmp_path)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
        timeout=200,
    )
    assert left_over(tmp_path) == []


SAVER = """
import sys
from tests.torture.test_together import *
directory, number = sys.argv[1], int(sys.argv[2])
for value in range(number, number + 12):
    if sys.argv[3] == "prefix":
        program(value).write(directory + "/ck", durability="flush")
    else:
        manager = cp.CheckpointManager(program(value), directory, 2, checkpoint_name=sys.argv[3])
        manager.save(checkpoint_number=value, durability="flush")
"""


def processes(tmp_path, names):
    root = str(Path(__file__).parents[2])
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SAVER, str(tmp_path), str(number), name],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
        )
        for number, name in zip((100, 200), names, strict=True)
    ]
    while any(process.poll() is None for process in started):
        for path in list_checkpoints(tmp_path):
            try:
                value_of(path)
            except (cp.CheckpointNotFoundError, cp.CheckpointCorruptError):
                assert not os.path.exists(f"{path}.index"), "deleted since it was listed"
    assert [process.wait() for process in started] == [0, 0]


def test_two_processes_save_to_one_prefix(tmp_path):
    processes(tmp_path, ["prefix", "prefix"])
    assert value_of(tmp_path / "ck") in {111, 211}
    assert left_over(tmp_path) == []


def test_managers_of_two_processes_share_a_directory(tmp_path):
    processes(tmp_path, ["a", "b"])
    found = {os.path.basename(path): value_of(path) for path in list_checkpoints(tmp_path)}
    assert found == {"a-110": 110, "a-111": 111, "b-210": 210, "b-211": 211}
    assert os.path.basename(cp.latest_checkpoint(tmp_path)) in {"a-111", "b-211"}
    assert left_over(tmp_path) == []


def test_managers_of_one_name_in_two_processes(tmp_path):
    """Not meant to be: but no file of either is mixed with the other's, and the latest is whole."""
    processes(tmp_path, ["a", "a"])
    latest = cp.latest_checkpoint(tmp_path)
    assert value_of(latest) in {111, 211}
    for path in list_checkpoints(tmp_path):
        value_of(path)
