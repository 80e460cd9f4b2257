"""Odd names, places, clocks and systems: the right files, or an error that says why not."""

from __future__ import annotations

import errno
import os
import signal
import types

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.directory.latest import list_checkpoints
from checkpointable.maintenance.rename import rename_checkpoint
from checkpointable.manager import kept as kept_checkpoints
from checkpointable.storage import LocalStorage
from checkpointable.storage.local import locks, syncing
from tests.torture.children import child, may_mount, program, run_child, value_of
from tests.torture.kill import left_over

# -- names ---------------------------------------------------------------------------------

NAMES = ["ckpt..", ".", "ck pt", "a\nb", "-1", "ck-", "é", "é", "💥", "ck.index", "x.data", "?*[a]"]
NAMES += ["checkpoint-", "%s", "\\", "ck-00000-of-00001", "x" * 200]


@pytest.mark.parametrize("name", NAMES)
def test_names(tmp_path, name):
    """Saved, found as the latest, listed, saved over, kept and deleted under any name."""
    manager = cp.CheckpointManager(program(1), tmp_path, 2, checkpoint_name=name)
    for value in (1, 2, 3):
        manager.checkpoint.v.assign(np.full(1000, value, np.int32))
        manager.save(durability="flush")
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / f"{name}-3")
    assert sorted(list_checkpoints(tmp_path)) == sorted(manager.checkpoints)
    assert [value_of(path) for path in manager.checkpoints] == [2, 3]
    again = cp.CheckpointManager(program(), tmp_path, 2, checkpoint_name=name)
    assert again.checkpoints == manager.checkpoints
    for value in (4, 5):
        assert value_of(program(value).write(tmp_path / name, durability="flush")) == value
    assert left_over(tmp_path) == []


def test_a_name_that_is_no_unicode(tmp_path):
    """The state file cannot hold it: nothing is written, or what is written is whole."""
    with pytest.raises(cp.CheckpointUnsupportedError, match="not valid Unicode"):
        program(1).save(os.fsdecode(os.fsencode(tmp_path) + b"/ck\xff"))
    for path in list_checkpoints(tmp_path):
        assert value_of(path) == 1
    path = program(2).write(os.fsdecode(os.fsencode(tmp_path) + b"/ck\xff"))
    assert value_of(path) == 2


@pytest.mark.parametrize(
    "name", ["a\\000b", "x" * 5000, "../" * 3000, "loop/x", "..", "/", "\\377"]
)
def test_a_state_file_that_names_what_no_file_can_be(tmp_path, name):
    """It is as if it named nothing that is there (S32)."""
    path = program(3).save(tmp_path / "ckpt")
    os.symlink("loop", tmp_path / "loop")
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\n')
    assert cp.latest_checkpoint(tmp_path) == path
    manager = cp.CheckpointManager(program(), tmp_path, 2)
    assert manager.restore_or_initialize() == path
    assert (manager.checkpoint.v.numpy() == 3).all()
    assert value_of(manager.save()) == 3


def test_a_name_with_nul_in_it(tmp_path):
    for act in (program().save, program().write, program().restore, cp.load_checkpoint):
        with pytest.raises(cp.CheckpointIOError, match="EINVAL"):
            act(f"{tmp_path}/a\0b")
    assert os.listdir(tmp_path) == []


def test_a_v1_file_of_the_same_name(tmp_path):
    """The newer one comes first; deleting it leaves the old file alone."""
    from tests.torture.tables import build_table, v1_messages

    meta, parts = v1_messages()
    (tmp_path / "ckpt-1").write_bytes(build_table([(b"", meta), *parts]))
    with cp.load_checkpoint(tmp_path / "ckpt-1") as reader:
        assert reader.keys() == ["p", "v"]
    manager = cp.CheckpointManager(program(1), tmp_path, 1)
    manager.save()
    assert value_of(tmp_path / "ckpt-1") == 1
    manager.save()
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-2")
    with cp.load_checkpoint(tmp_path / "ckpt-1") as reader:
        assert reader.keys() == ["p", "v"]


# -- directories ---------------------------------------------------------------------------


def test_a_directory_behind_a_symbolic_link(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink("real", tmp_path / "link")
    manager = cp.CheckpointManager(program(1), tmp_path / "link", 2)
    for _ in range(3):
        manager.save()
    (tmp_path / "link").unlink()
    os.rename(tmp_path / "real", tmp_path / "moved")
    moved = cp.CheckpointManager(program(), tmp_path / "moved", 2)
    assert moved.restore_or_initialize() == str(tmp_path / "moved" / "ckpt-3")
    assert len(moved.checkpoints) == 2


def test_a_checkpoint_behind_symbolic_links(tmp_path):
    """Saved over, the links go and what they led to stays."""
    program(1).write(tmp_path / "a" / "ck")
    (tmp_path / "b").mkdir()
    for name in os.listdir(tmp_path / "a"):
        os.symlink(tmp_path / "a" / name, tmp_path / "b" / name)
    assert value_of(tmp_path / "b" / "ck") == 1
    with pytest.raises(ValueError, match="written over itself"):
        rename_checkpoint(tmp_path / "a" / "ck", tmp_path / "b" / "ck", {}, overwrite=True)
    program(2).write(tmp_path / "b" / "ck")
    assert (value_of(tmp_path / "a" / "ck"), value_of(tmp_path / "b" / "ck")) == (1, 2)


BOUNDARY = """
from checkpointable.maintenance.rename import rename_checkpoint
inner, outer = sys.argv[1] + "/mounted", sys.argv[1]
manager = cp.CheckpointManager(program(1), inner, 2)
for _ in range(3):
    manager.save()
program(2).write(outer + "/ck")
for source, target in ((outer + "/ck", inner + "/to"), (inner + "/ckpt-3", outer + "/to")):
    rename_checkpoint(source, target, {"v": "w"})
    with cp.load_checkpoint(target) as reader:
        assert reader.verify() == []
        print(int(reader.get_tensor("w/.ATTRIBUTES/VARIABLE_VALUE")[0]))
"""


def test_a_directory_that_is_another_file_system(tmp_path):
    """Nothing is renamed across; a rename of paths copies where it cannot link."""
    (tmp_path / "mounted").mkdir()
    mount = f"mount -t tmpfs -o size=4m none '{tmp_path / 'mounted'}'"
    if may_mount(mount):  # else tests/storage/test_link.py refuses the link itself
        assert child(BOUNDARY, tmp_path, mount=mount) == ["2", "1"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_permissions_of_the_umask(tmp_path, mask, mode):
    """All of them, whatever those had that they replace."""
    before = os.umask(mask)
    try:
        for _ in range(2):
            manager = cp.CheckpointManager(program(1), tmp_path, 2)
            manager.save(checkpoint_number=1, durability="flush")
            names = os.listdir(tmp_path)
            assert {os.stat(tmp_path / name).st_mode & 0o777 for name in names} == {mode}
            for name in names:
                os.chmod(tmp_path / name, 0o640)
    finally:
        os.umask(before)


# -- clocks --------------------------------------------------------------------------------


def test_a_clock_that_goes_back(tmp_path, monkeypatch, caplog):
    """The newest are those saved last, whatever their times say."""
    for value, time in enumerate((5e9, 4e9, 3e9, 2e9), 1):
        monkeypatch.setattr(kept_checkpoints, "now", lambda time=time: time)
        manager = cp.CheckpointManager(
            program(value), tmp_path, 2, keep_checkpoint_every_n_hours=10**6
        )
        path = manager.save(checkpoint_number=value)
        os.utime(f"{path}.index", (time, time))
        assert cp.latest_checkpoint(tmp_path) == path
        manager.restore_latest_valid()
        assert (manager.checkpoint.v.numpy() == value).all()
    assert [value_of(path) for path in manager.checkpoints] == [3, 4]
    assert "the clock is" in caplog.text


# -- systems that lack something, or refuse late -------------------------------------------


def test_a_file_system_without_locks_leaves_live_writers_alone(tmp_path, monkeypatch):
    """It cannot tell who lives: only age says that a temporary file was left behind."""

    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    live = LocalStorage().create(str(tmp_path / ".ck-1.data.tmp-1-00000000"), 10)
    (tmp_path / ".ck-2.data.tmp-1-00000000").write_bytes(b"x")
    os.utime(tmp_path / ".ck-2.data.tmp-1-00000000", (0, 0))
    assert value_of(program(1).save(tmp_path / "ck")) == 1
    temporaries = [name for name in os.listdir(tmp_path) if name.startswith(".")]
    assert temporaries == [".ck-1.data.tmp-1-00000000"]
    live.abort()


@pytest.mark.parametrize("ending", [".data", ".index", "checkpoint"])
def test_room_that_is_refused_when_a_file_is_closed(tmp_path, monkeypatch, ending):
    """As network file systems do, to whom nothing is synced: what was there stays."""
    manager = cp.CheckpointManager(program(1), tmp_path, 1)
    manager.save(durability="flush")
    manager.checkpoint.v.assign(np.full(1000, 2, np.int32))
    close = os.close

    def late(fd):
        path = os.readlink(f"/proc/self/fd/{fd}")
        close(fd)
        if f"{ending}.tmp-" in path:
            raise OSError(errno.EDQUOT, "quota exceeded")

    monkeypatch.setattr(os, "close", late)
    with pytest.raises(cp.CheckpointIOError, match="EDQUOT"):
        manager.save(checkpoint_number=1, durability="flush")
    monkeypatch.undo()
    found = {path: value_of(path) for path in list_checkpoints(tmp_path)}
    assert cp.latest_checkpoint(tmp_path) in found
    if ending != "checkpoint":
        assert found == {str(tmp_path / "ckpt-1"): 1}


def test_a_system_whose_fsync_ends_at_the_disks_cache(tmp_path, monkeypatch):
    """macOS: F_FULLFSYNC is asked for, and plain fsync only where that is refused."""
    asked, plain = [], []
    fake = types.SimpleNamespace(**vars(syncing.fcntl), F_FULLFSYNC=51)
    fake.fcntl = lambda fd, what: asked.append(what)
    fsync = os.fsync
    monkeypatch.setattr(syncing, "fcntl", fake)
    monkeypatch.setattr(os, "fsync", lambda fd: (plain.append(fd), fsync(fd)))
    program(1).save(tmp_path / "ck")
    assert asked
    assert set(asked) == {51}
    assert not plain

    def refuse(fd, what):
        raise OSError(errno.ENOTSUP, "no")

    fake.fcntl = refuse
    program(1).save(tmp_path / "ck")
    assert plain


# -- what is read changes ------------------------------------------------------------------

CUT = """
import signal
path = program(7, 3_000_000).write(sys.argv[1] + "/ck")
data = path + ".data-00000-of-00001"
checkpoint = program(0, 3_000_000)
cut = int(sys.argv[2])
def progress(done, total, key):
    global cut
    cut -= 1
    if not cut:
        os.truncate(data, 4096)
try:
    checkpoint.read(path, progress=progress, verify=sys.argv[3] == "True")
except cp.CheckpointCorruptError as error:
    print("refused")
else:
    print("read", set(checkpoint.v.numpy().tolist()) == {7})
"""


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_file_that_is_cut_short_during_a_restore(tmp_path, cut, verify):
    """An error, or, within one value, the end of the process: never other values."""
    done = run_child(CUT, tmp_path, cut, verify)
    assert done.returncode in {0, -signal.SIGBUS}, done.stderr
    assert done.stdout.strip() in {"", "refused", "read True"}
    assert done.returncode or done.stdout


def test_nothing_is_left_of_a_process_that_was_here(tmp_path):
    """The temporary file of one whose number another process has by now."""
    stale = tmp_path / f".ck-1.data.tmp-{os.getpid()}-00000000"
    stale.write_bytes(b"x")
    assert child("print(value_of(program(1).save(sys.argv[1] + '/ck')))", tmp_path) == ["1"]
    assert not stale.exists()
