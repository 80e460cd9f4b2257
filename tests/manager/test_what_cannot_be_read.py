"""What a system refuses to read may be whole: it is neither passed over nor forgotten (S32)."""

from __future__ import annotations

import errno
import json
from contextlib import contextmanager
from pathlib import Path

import pytest

import checkpointable as cp
from checkpointable.bundle.index.header import Header
from checkpointable.bundle.writing.index import write_index
from checkpointable.maintenance.repair import repair_directory
from checkpointable.manager.history import HISTORY_FILE_NAME
from checkpointable.storage import use_storage
from checkpointable.testing import READS, MemoryStorage, WatchedStorage
from tests.manager.helpers import flip, manager_of, names, on_disk, program, save

KEY = bytes(range(32))


class Refuses(WatchedStorage):
    """The system does not give the files whose names hold `part`, some times or always."""

    def __init__(self, part, number, times=10**9):
        super().__init__(kinds=READS)
        self._part = part
        self._number = number
        self._times = times

    @contextmanager
    def around(self, operation):
        if operation.kind in {"open", "read", "map"} and self._part in operation.path:
            self._times -= 1
            if self._times >= 0:
                error = OSError(self._number, "refused")
                raise cp.CheckpointIOError.from_os_error(
                    PermissionError(*error.args) if self._number == errno.EACCES else error,
                    "open the file",
                    path=operation.path,
                )
        yield


@pytest.fixture
def saved(tmp_path):
    """Two checkpoints of a manager, with the values 1 and 2."""
    checkpoint = program(1.0)
    manager = manager_of(tmp_path, 3, checkpoint)
    save(manager)
    checkpoint.v.assign(program(2.0).v.numpy())
    save(manager)
    return tmp_path


def restored(directory, how, **options):
    checkpoint = program(-1.0)
    try:
        how(manager_of(directory, 3, checkpoint, **options))
    except cp.CheckpointError:
        assert (checkpoint.v.numpy() == -1).all()
        raise
    return float(checkpoint.v.numpy()[0])


def latest(manager):
    manager.checkpoint.restore(cp.latest_checkpoint(manager.directory))


WAYS = [
    latest,
    lambda manager: manager.checkpoint.restore(manager.directory),
    cp.CheckpointManager.restore_or_initialize,
    cp.CheckpointManager.restore_latest_valid,
]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ENOMEM, errno.ESTALE])
@pytest.mark.parametrize("file", ["ckpt-2.index", "ckpt-2.data"])
def test_an_older_one_does_not_take_its_place(saved, how, number, file):
    with use_storage(Refuses(file, number)), pytest.raises(cp.CheckpointIOError) as caught:
        restored(saved, how)
    assert caught.value.errno == number
    assert caught.value.path.startswith(str(saved / file))


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("times", [1, 2])
def test_what_is_refused_once_is_there_the_next_time(saved, how, times):
    """A file is opened to see whether it is whole, then to be read, then to be restored."""
    with use_storage(Refuses("ckpt-2.index", errno.EIO, times)):
        try:
            found = restored(saved, how)
        except cp.CheckpointIOError as error:
            found = error.errno
    assert found in {2.0, errno.EIO}


def test_restore_latest_valid_asks_a_disk_twice(saved):
    with use_storage(Refuses("ckpt-2.data", errno.EIO, 2)):  # one at a look, one at the first try
        assert restored(saved, cp.CheckpointManager.restore_latest_valid) == 2.0


@pytest.mark.parametrize("number", [errno.EIO, errno.EBADMSG])
def test_restore_latest_valid_goes_back_past_bytes_that_the_disk_has_lost(saved, number, caplog):
    with use_storage(Refuses("ckpt-2.data", number)):
        assert restored(saved, cp.CheckpointManager.restore_latest_valid) == 1.0
    assert "ckpt-2: skipped: " in caplog.text


def newer_format(prefix):
    with cp.load_checkpoint(prefix) as reader:
        entries = reader.raw_entries()
    write_index(f"{prefix}.index", Header(num_shards=1, producer=9, min_consumer=9), entries)


@pytest.mark.parametrize("how", WAYS)
def test_one_of_a_newer_format_is_not_passed_over(saved, how):
    newer_format(saved / "ckpt-2")
    with pytest.raises(cp.CheckpointUnsupportedError):
        restored(saved, how)


def test_with_a_key_what_is_not_signed_is_passed_over_whatever_it_is(tmp_path):
    checkpoint = program(1.0)
    manager = manager_of(tmp_path, 3, checkpoint, sign_with=KEY)
    save(manager)
    checkpoint.save(tmp_path / "ckpt")
    newer_format(tmp_path / "ckpt-2")
    how = cp.CheckpointManager.restore_latest_valid
    assert restored(tmp_path, how, trusted_key=KEY) == 1.0


def test_the_iterator_waits_for_one_that_cannot_be_read(saved, monkeypatch):
    refusing = Refuses("ckpt-2.index", errno.EACCES, 2)
    monkeypatch.setattr("checkpointable.directory.polling.sleep", lambda seconds: None)
    with use_storage(refusing):
        assert next(cp.checkpoints_iterator(saved)) == str(saved / "ckpt-2")


# -- the history ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_a_history_that_cannot_be_read_is_not_forgotten(tmp_path, number):
    manager = manager_of(tmp_path, 1, best=("loss", "min", 1))
    for loss in (0.1, 5.0, 6.0):
        save(manager, metrics={"loss": loss})
    before = (tmp_path / HISTORY_FILE_NAME).read_bytes()
    with use_storage(Refuses(HISTORY_FILE_NAME, number)):
        with pytest.raises(cp.CheckpointIOError, match="history"):
            manager_of(tmp_path, 1, best=("loss", "min", 1))
        with pytest.raises(cp.CheckpointIOError, match="history"):
            save(manager, metrics={"loss": 7.0})
    assert (tmp_path / HISTORY_FILE_NAME).read_bytes() == before
    again = manager_of(tmp_path, 1, best=("loss", "min", 1))
    assert names(again.best_checkpoints) == ["ckpt-1"]


def test_the_best_are_not_deleted_since_the_history_is_damaged(tmp_path, caplog):
    manager = manager_of(tmp_path, 1, best=("loss", "min", 1))
    for loss in (0.1, 5.0, 6.0):
        save(manager, metrics={"loss": loss})
    assert on_disk(tmp_path) == ["ckpt-1", "ckpt-3"]
    flip(tmp_path / HISTORY_FILE_NAME, 30)
    checkpoint = program()
    again = manager_of(tmp_path, 1, checkpoint, best=("loss", "min", 1))
    again.restore_or_initialize()
    assert "ckpt-1: kept for good, because it may be among the best" in caplog.text
    for loss in (9.0, 8.0):
        save(again, metrics={"loss": loss})
    assert on_disk(tmp_path) == ["ckpt-1", "ckpt-5"]
    assert json.loads(Path(tmp_path / HISTORY_FILE_NAME).read_bytes())["crc32c"]


# -- what a manager is made of -------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"max_to_keep": "3"},
            ValueError,
            "max_to_keep is '3'; it must be a positive integer or None",
        ),
        (
            {"max_to_keep": 2.5},
            ValueError,
            "max_to_keep is 2.5; it must be a positive integer or None",
        ),
        (
            {"max_to_keep": True},
            ValueError,
            "max_to_keep is True; it must be a positive integer or None",
        ),
        ({"keep_checkpoint_every_n_hours": -1}, ValueError, "hours cannot be negative"),
        ({"keep_checkpoint_every_n_hours": float("nan")}, ValueError, "hours cannot be negative"),
        (
            {"keep_checkpoint_every_n_hours": "1"},
            TypeError,
            "n_hours is '1'; it must be a number of hours or None",
        ),
        ({"checkpoint_name": None}, TypeError, "checkpoint_name must be a str"),
        ({"checkpoint_name": "../up"}, ValueError, "leads out of the directory"),
        ({"checkpoint_name": "/abs"}, ValueError, "leads out of the directory"),
    ],
)
def test_what_would_go_wrong_at_a_save_is_refused_at_once(tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        cp.CheckpointManager(program(), tmp_path, **{"max_to_keep": 1, **options})


def test_a_manager_saves_all_of_it_to_the_storage_of_the_moment(tmp_path):
    manager = manager_of(tmp_path, 1)
    disk = MemoryStorage()
    disk.make_directories(str(tmp_path), sync=True)
    with use_storage(disk):
        save(manager)
        assert disk.exists(str(tmp_path / HISTORY_FILE_NAME))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("delete", [False, True])
def test_a_repair_does_not_go_back_past_what_it_cannot_read(saved, delete):
    flip(saved / "ckpt-1.index")
    checkpoint = program(3.0)
    save(manager_of(saved, 3, checkpoint), checkpoint_number=3)
    with use_storage(Refuses("ckpt-3.data", errno.EACCES)):
        done = repair_directory(str(saved), delete=delete)
    assert done.latest == str(saved / "ckpt-3")
    state = cp.get_checkpoint_state(saved)
    assert names(state.all_model_checkpoint_paths) == ["ckpt-2", "ckpt-3"]
    assert cp.latest_checkpoint(saved) == str(saved / "ckpt-3")
    assert done.deleted == ([str(saved / "ckpt-1")] if delete else [])
