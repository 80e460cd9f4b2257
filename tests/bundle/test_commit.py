"""The commit order: at every instant every prefix with an index is a whole checkpoint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from checkpointable.bundle import BundleReader, write_bundle
from checkpointable.bundle.reading import open_files
from checkpointable.errors import CheckpointCorruptError, CheckpointIOError
from checkpointable.storage import LocalStorage
from tests.bundle.helpers import same, save, values_to_write
from tests.storage.doubles import CutError, CutStorage, WatchedStorage

ONE = ".data-00000-of-00001"
TWO = [".data-00000-of-00002", ".data-00001-of-00002"]


def values(i):
    return {f"v{j}": np.full(j * 40 + i, i, np.int32) for j in range(4)}


def read(prefix):
    """Which of `values` the checkpoint holds, verified to be whole."""
    with BundleReader(prefix) as reader:
        assert reader.verify() == []
        i = reader.shape("v0")[0]
        assert all(same(reader.get_tensor(key), value) for key, value in values(i).items())
        return i


def final(steps):
    """Steps with the random part of temporary names left out."""
    return [(what, re.sub(r"\.tmp-\d+-\w+", "~", name)) for what, name in steps]


def test_the_order_of_the_first_save(tmp_path):
    storage = WatchedStorage()
    save(tmp_path / "ck", values(1), storage=storage, durability="fsync")
    name = tmp_path.name
    assert final(storage.steps) == [
        ("create", ".ck.data~"),
        ("write", ".ck.data~"),
        ("sync", ".ck.data~"),
        ("rename", "ck" + ONE),
        ("sync directory", name),
        ("create", ".ck.index~"),
        ("write", ".ck.index~"),
        ("sync", ".ck.index~"),
        ("rename", "ck.index"),
        ("sync directory", name),
    ]
    assert sorted(os.listdir(tmp_path)) == ["ck" + ONE, "ck.index"]


def test_the_order_of_a_save_over_another(tmp_path):
    save(tmp_path / "ck", values(1))
    storage = WatchedStorage()
    save(tmp_path / "ck", values(2), storage=storage, durability="fsync")
    name = tmp_path.name
    assert final(storage.steps) == [
        ("create", ".ck.data~"),
        ("write", ".ck.data~"),
        ("sync", ".ck.data~"),
        ("create", ".ck.data~"),  # the empty second shard
        ("sync", ".ck.data~"),
        ("rename", "ck" + TWO[1]),
        ("rename", "ck" + TWO[0]),
        ("sync directory", name),
        ("create", ".ck.index~"),
        ("write", ".ck.index~"),
        ("sync", ".ck.index~"),
        ("rename", "ck.index"),
        ("sync directory", name),
        ("delete", "ck" + ONE),
    ]
    assert sorted(os.listdir(tmp_path)) == sorted(["ck" + TWO[0], "ck" + TWO[1], "ck.index"])
    save(tmp_path / "ck", values(3))
    assert sorted(os.listdir(tmp_path)) == ["ck" + ONE, "ck.index"]


def test_flush_syncs_nothing_and_keeps_the_order(tmp_path):
    storage = WatchedStorage()
    save(tmp_path / "ck", values(1), storage=storage, durability="flush")
    assert [what for what, _ in storage.steps] == [
        *("create", "write", "rename"),
        *("create", "write", "rename"),
    ]


def test_missing_directories_are_made(tmp_path):
    save(tmp_path / "a" / "b" / "ck", values(1))
    assert read(tmp_path / "a" / "b" / "ck") == 1


def test_a_prefix_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in (1, 2, 3):
        save("ck", values(i), durability="fsync")
        assert read("ck") == i


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [CheckpointIOError("full", errno=28), KeyboardInterrupt()])
@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_a_failure_at_any_step_leaves_a_whole_checkpoint(tmp_path, rounds, error, after):
    """Of a first save, one over one shard, one over two; before the step, or after it."""
    step = 0
    while True:
        directory = tmp_path / str(step)
        for i in range(rounds):
            save(directory / "ck", values(i + 1))
        before = set(os.listdir(directory)) if rounds else set()
        storage = WatchedStorage(step, after=after, error=error)
        try:
            write_bundle(directory / "ck", values_to_write(values(9)), storage=storage)
        except (CheckpointIOError, KeyboardInterrupt):
            pass
        if len(storage.steps) <= step:
            break
        left = set(os.listdir(directory))
        if "ck.index" in left:
            found = read(directory / "ck")
            assert found in {rounds, 9}
            if found != 9:
                assert left - before <= {n for n in left if n.startswith(".") and after}
        else:
            assert not rounds
            assert left <= {n for n in left if n.startswith(".") and after}
        # Whatever is left, the next save takes it away.
        save(directory / "ck", values(5))
        assert read(directory / "ck") == 5
        assert len(os.listdir(directory)) in {2, 3}
        assert not any(name.startswith(".") for name in os.listdir(directory))
        step += 1
    assert step >= 10


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_a_power_cut_at_any_step_leaves_a_whole_checkpoint(tmp_path, rounds):
    step = cases = 0
    done = False
    while not done:
        for lost in range(6):
            for lose_contents in (False, True):
                directory = tmp_path / f"{step}-{lost}-{lose_contents}"
                for i in range(rounds):
                    save(directory / "ck", values(i + 1))
                storage = CutStorage(step)
                if rounds:
                    storage.durable |= {e.stat().st_ino for e in os.scandir(directory)}
                try:
                    write_bundle(directory / "ck", values_to_write(values(9)), storage=storage)
                    done = True
                except CutError:
                    pass
                storage.reopen(directory, lose_names=lost, lose_contents=lose_contents)
                if done:  # `write_bundle` has returned: nothing may be lost
                    assert read(directory / "ck") == 9
                elif (directory / "ck.index").exists():
                    assert read(directory / "ck") in {rounds, 9}
                else:
                    assert not rounds
                cases += 1
        step += 1
    assert cases > 100


def test_a_value_that_cannot_be_read_leaves_the_old_checkpoint(tmp_path):
    save(tmp_path / "ck", values(1))
    bad = values_to_write(values(2))

    def fail():
        raise RuntimeError("the device is gone")

    bad[2] = type(bad[2])(bad[2].key, bad[2].dtype, bad[2].shape, fail)
    with pytest.raises(RuntimeError, match="device is gone"):
        write_bundle(tmp_path / "ck", bad)
    assert sorted(os.listdir(tmp_path)) == ["ck" + ONE, "ck.index"]
    assert read(tmp_path / "ck") == 1


def test_a_failure_in_a_thread_reaches_the_caller(tmp_path):
    large = {f"v{i}": np.zeros(1_000_000) for i in range(6)}
    for step in (1, 3, 9):
        with pytest.raises(CheckpointIOError, match="no space left"):
            save(tmp_path / "ck", large, storage=WatchedStorage(step), threads=3)
        assert os.listdir(tmp_path) == []


def test_a_full_disk(tmp_path):
    """A limit on the size of files stands for it; the old checkpoint stays."""
    program = """
import resource, signal, sys
import numpy as np
from checkpointable.bundle import DataType, ValueToWrite, write_bundle
from checkpointable.errors import CheckpointIOError
def value_to_write(n):
    return [ValueToWrite("v", DataType.DT_INT8, (n,), lambda: np.ones(n, np.int8))]
write_bundle(sys.argv[1], value_to_write(10))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    write_bundle(sys.argv[1], value_to_write(200_000))
except CheckpointIOError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "ck")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "EFBIG" in done.stdout
    assert str(tmp_path) in done.stdout
    with BundleReader(tmp_path / "ck") as reader:
        assert reader.shape("v") == (10,)
    assert sorted(os.listdir(tmp_path)) == ["ck" + ONE, "ck.index"]


# -- what others leave and do --------------------------------------------------------------


def test_stale_files_of_the_same_series_are_removed_and_others_kept(tmp_path):
    for name in (
        ".ck-3.data.tmp-1-00000000",
        ".ck-4.index.tmp-1-00000000",
        ".other-3.data.tmp-1-00000000",
        ".ck-4.data.swp",
    ):
        (tmp_path / name).write_bytes(b"x")
    for name in (".data-00000-of-00003", ".data-00000-of-00002", ".data-x-of-00002"):
        (tmp_path / ("ck-4" + name)).write_bytes(b"x")
    (tmp_path / "ck-40.data-00000-of-00003").write_bytes(b"x")
    save(tmp_path / "ck-4", values(1))
    assert sorted(os.listdir(tmp_path)) == sorted(
        [
            ".ck-4.data.swp",
            ".other-3.data.tmp-1-00000000",
            "ck-4.data-00000-of-00001",
            "ck-4.data-x-of-00002",
            "ck-4.index",
            "ck-40.data-00000-of-00003",
        ]
    )


def test_a_checkpoint_of_many_shards_is_written_over(tmp_path):
    with BundleReader(save(tmp_path / "ck", values(1))) as reader:
        entries = reader.raw_entries()
    from checkpointable.bundle import Header, write_index

    os.rename(tmp_path / f"ck{ONE}", tmp_path / "ck.data-00000-of-00004")
    write_index(tmp_path / "ck.index", Header(4), entries)
    assert read(tmp_path / "ck") == 1
    save(tmp_path / "ck", values(2))
    assert sorted(os.listdir(tmp_path)) == ["ck" + ONE, "ck.index"]


def test_a_damaged_checkpoint_can_be_written_over(tmp_path):
    save(tmp_path / "ck", values(1))
    (tmp_path / "ck.index").write_bytes(b"damaged")
    save(tmp_path / "ck", values(2))
    assert read(tmp_path / "ck") == 2


def test_threads_that_save_to_one_prefix_do_not_mix_their_files(tmp_path):
    failures = []

    def work(i):
        try:
            for _ in range(10):
                save(tmp_path / "ck", values(i))
        except Exception as error:  # noqa: BLE001 - told to the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in (1, 2, 3)]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "ck.index").exists():
            seen.add(read(tmp_path / "ck"))
    for thread in threads:
        thread.join()
    assert not failures
    assert seen <= {1, 2, 3}
    assert not any(name.startswith(".") for name in os.listdir(tmp_path))


SAVER = """
import sys
import numpy as np
from tests.bundle.helpers import save
from tests.bundle.test_commit import values
for _ in range(15):
    save(sys.argv[1], values(int(sys.argv[2])))
"""


def test_processes_that_save_to_one_prefix_do_not_mix_their_files(tmp_path):
    root = str(Path(__file__).parents[2])
    savers = [
        subprocess.Popen(
            [sys.executable, "-c", SAVER, str(tmp_path / "ck"), str(i)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
        )
        for i in (1, 2)
    ]
    while any(saver.poll() is None for saver in savers):
        if (tmp_path / "ck.index").exists():
            assert read(tmp_path / "ck") in {1, 2}
    assert [saver.wait() for saver in savers] == [0, 0]
    assert read(tmp_path / "ck") in {1, 2}
    assert len(os.listdir(tmp_path)) in {2, 3}


class _Racing(LocalStorage):
    """Another save of the prefix comes between the opening of its files."""

    def __init__(self, prefix, before, most=2):
        self._prefix = prefix
        self._before = before
        self._most = most
        self.saves = 0

    def open(self, path):
        if path.endswith(self._before) and self.saves < self._most:
            for _ in range(2):  # after two, the names are those of before
                self.saves += 1
                save(self._prefix, values(self.saves + 1))
        return super().open(path)


@pytest.mark.parametrize("most", [2, 40])
def test_a_reader_that_a_save_overtakes_reads_the_index_again(tmp_path, most):
    prefix = save(tmp_path / "ck", values(1))
    storage = _Racing(prefix, ONE, most)
    with BundleReader(prefix, storage) as reader:
        assert reader.verify() == []
        assert reader.shape("v0") == (most + 1,)
    assert storage.saves == most


def test_a_reader_that_is_overtaken_without_end_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(open_files, "_ATTEMPTS", 5)
    prefix = save(tmp_path / "ck", values(1))
    with pytest.raises(CheckpointIOError, match="replaced it 5 times"):
        BundleReader(prefix, _Racing(prefix, ONE, 100))


def test_a_reader_keeps_what_it_opened(tmp_path):
    prefix = save(tmp_path / "ck", values(1))
    with BundleReader(prefix) as reader:
        for i in (2, 3, 4):
            save(prefix, values(i))
        assert all(same(reader.get_tensor(k), v) for k, v in values(1).items())
        assert reader.verify() == []


def test_an_index_whose_data_never_comes_is_not_asked_for_ever(tmp_path):
    prefix = save(tmp_path / "ck", values(1))
    os.unlink(prefix + ONE)
    with pytest.raises(CheckpointCorruptError, match="data file is missing"):
        BundleReader(prefix)
