"""The state file, the latest checkpoint, and what happens where the state file is wrong."""

from __future__ import annotations

import logging
import os
import shutil

import pytest

import checkpointable as cp
from tests.semantics.helpers import Module, restore, save, variable


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.fixture
def three(tmp_path):
    """A directory with three checkpoints, whose times are their numbers."""
    root = Module(v=variable())
    for number in (1, 2, 10):
        root.v.assign(number)
        path = save(root, tmp_path / "ckpt", number)
        os.utime(f"{path}.index", (number, number))
    return tmp_path


def latest_number(directory):
    return int(cp.latest_checkpoint(directory).rpartition("-")[2])


# S16
def test_it_lists_only_the_most_recent_by_a_relative_path(three):
    assert (three / "checkpoint").read_text() == (
        'model_checkpoint_path: "ckpt-10"\nall_model_checkpoint_paths: "ckpt-10"\n'
    )


# S16
def test_the_directory_can_be_moved(three, tmp_path_factory, caplog):
    moved = tmp_path_factory.mktemp("elsewhere") / "moved"
    three.rename(moved)
    assert cp.latest_checkpoint(moved) == str(moved / "ckpt-10")
    root = Module(v=variable())
    restore(root, cp.latest_checkpoint(moved)).assert_consumed()
    assert float(root.v) == 10
    assert warnings(caplog) == []


# S16
def test_nothing_is_ever_deleted(three):
    root = Module(v=variable())
    for number in range(11, 31):
        save(root, three / "ckpt", number)
    assert len(list(three.glob("*.index"))) == 23
    ckpt = cp.Checkpoint(v=variable())
    for _ in range(20):
        ckpt.save(three / "other", durability="flush")
    assert len(list(three.glob("*.index"))) == 43


# S16
def test_a_prefix_in_another_directory_than_the_one_asked(three, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "checkpoint").write_text(f'model_checkpoint_path: "{three}/ckpt-2"\n')
    assert cp.latest_checkpoint(elsewhere) == f"{three}/ckpt-2"


# S16
def test_odd_names_in_the_state_file(tmp_path):
    for name in ('a"b', "a\\b", "a\nb", "ü", "a b", "x'y"):
        path = save(Module(v=variable()), tmp_path / name / name, 1)
        assert cp.latest_checkpoint(tmp_path / name) == path


# S32
def test_no_checkpoint_gives_none(tmp_path, caplog):
    assert cp.latest_checkpoint(tmp_path) is None
    assert cp.latest_checkpoint(tmp_path / "nothing") is None
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "a.data-00000-of-00001").write_bytes(b"x")
    (tmp_path / ".ckpt-2.index.tmp-1-0123abcd").write_bytes(b"x")
    assert cp.latest_checkpoint(tmp_path) is None
    assert warnings(caplog) == []


# S32
def test_a_first_start_and_every_later_one_are_one_line(tmp_path):
    for start in range(3):
        root = Module(v=variable())
        saver = cp.CheckpointableSaver(root)
        status = saver.restore(cp.latest_checkpoint(tmp_path))
        status.initialize_or_restore()
        assert isinstance(status, cp.InitializationOnlyStatus) == (start == 0)
        assert float(root.v) == start
        root.v.assign(start + 1)
        saver.save(tmp_path / "c", start, durability="flush")


STATE_FILES = {
    "missing": None,
    "empty": b"",
    "no text": b"\xff\xfe\x00",
    "another format": b"{}",
    "a newer one's, cut short": b'model_checkpoint_path: "ckpt',
    "names nothing": b'all_model_checkpoint_paths: "ckpt-10"\n',
    "names what is gone": b'model_checkpoint_path: "ckpt-77"\n',
    "names what is gone elsewhere": b'model_checkpoint_path: "/nowhere/at/all/ckpt-77"\n',
}


# S32
@pytest.mark.parametrize("kind", STATE_FILES)
def test_where_the_state_file_is_wrong_the_newest_whole_one_counts(three, caplog, kind):
    (three / "checkpoint").unlink()
    if STATE_FILES[kind] is not None:
        (three / "checkpoint").write_bytes(STATE_FILES[kind])
    assert latest_number(three) == 10
    (warning,) = warnings(caplog)
    assert str(three) in warning
    assert "using" in warning
    assert "ckpt-10" in warning


# S32
def test_absolute_paths_of_a_directory_that_was_moved(three, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved") / "here"
    (three / "checkpoint").write_text(f'model_checkpoint_path: "{three}/ckpt-2"\n')
    three.rename(moved)
    assert cp.latest_checkpoint(moved) == str(moved / "ckpt-2")


# S32
def test_a_state_file_with_unknown_fields_is_read(three, caplog):
    (three / "checkpoint").write_text('model_checkpoint_path: "ckpt-2"\nfuture_field: 3\n')
    assert latest_number(three) == 2
    assert warnings(caplog) == []


# S32
@pytest.mark.parametrize("damage", ["index cut", "index flipped", "data gone", "data cut"])
def test_a_damaged_one_is_passed_over(three, caplog, damage):
    index, data = three / "ckpt-10.index", three / "ckpt-10.data-00000-of-00001"
    if damage == "index cut":
        index.write_bytes(index.read_bytes()[:-1])
    elif damage == "index flipped":
        contents = bytearray(index.read_bytes())
        contents[3] ^= 4
        index.write_bytes(contents)
    elif damage == "data gone":
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:-1])
    os.utime(index, (10, 10))
    assert latest_number(three) == 2
    (warning,) = warnings(caplog)
    assert "ckpt-10" in warning


# S32
def test_newest_is_by_number_and_a_warning_says_where_times_disagree(three, caplog):
    (three / "checkpoint").unlink()
    assert latest_number(three) == 10
    (warning,) = warnings(caplog)
    assert "by the times" not in warning
    caplog.clear()
    os.utime(three / "ckpt-1.index", (99, 99))  # as after `cp -r`
    assert latest_number(three) == 10
    (warning,) = warnings(caplog)
    assert "ckpt-1 was written later by the times of the files" in warning
    for number in (1, 2, 10):
        os.utime(three / f"ckpt-{number}.index", (5, 5))
    assert latest_number(three) == 10


# S32
def test_checkpoints_of_different_names_are_compared_by_time(three):
    (three / "checkpoint").unlink()
    other = save(Module(v=variable()), three / "best", 3)
    (three / "checkpoint").unlink()
    os.utime(f"{other}.index", (50, 50))
    assert cp.latest_checkpoint(three) == other
    os.utime(three / "ckpt-2.index", (60, 60))  # ckpt-10 is no older than ckpt-2
    assert latest_number(three) == 10


WINDOWS = [
    (
        b'model_checkpoint_path: "C:\\\\runs\\\\a\\\\ckpt-2"\r\n'
        b'all_model_checkpoint_paths: "ckpt-2"\r\n'
    ),
    b'model_checkpoint_path: "\\\\\\\\server\\\\share\\\\ckpt-2"\n',
    b'model_checkpoint_path: ".\\\\ckpt-2"\n',
    b'\xef\xbb\xbfmodel_checkpoint_path: "ckpt-2"\n',
    'model_checkpoint_path: "ckpt-2"\r\n'.encode("utf-16"),
]


# S16 S32
@pytest.mark.parametrize("contents", WINDOWS)
def test_a_state_file_from_windows_is_read(three, contents, caplog):
    (three / "checkpoint").write_bytes(contents)
    assert latest_number(three) == 2
    assert not [w for w in warnings(caplog) if "does not list" not in w]


# S16
def test_a_subdirectory_with_a_backslash(three):
    (three / "sub").mkdir()
    save(Module(v=variable()), three / "sub" / "ck", 1)
    (three / "checkpoint").write_bytes(b'model_checkpoint_path: "sub\\\\ck-1"\n')
    assert cp.latest_checkpoint(three) == str(three / "sub" / "ck-1")


# S16
@pytest.mark.skipif(os.sep == "\\", reason="a separator there")
def test_a_name_with_a_backslash_keeps_it(tmp_path):
    path = save(Module(v=variable()), tmp_path / "a\\b", 1)
    assert cp.latest_checkpoint(tmp_path) == path


# S16
@pytest.mark.parametrize(
    "change", [lambda d: b"\xef\xbb\xbf" + d, lambda d: d.replace(b"\n", b"\r\n")]
)
def test_an_editor_that_adds_a_mark_or_line_ends_leaves_the_checksum(three, change):
    paths = [f"ckpt-{number}" for number in (1, 2)]
    cp.update_checkpoint_state(three, "ckpt-2", paths)
    state = three / "checkpoint"
    assert b"crc32c" in state.read_bytes()
    state.write_bytes(change(state.read_bytes()))
    assert latest_number(three) == 2
    state.write_bytes(state.read_bytes().replace(b"ckpt-2", b"ckpt-3", 1))
    with pytest.raises(cp.CheckpointCorruptError, match="checksum") as error:
        cp.get_checkpoint_state(three)
    assert error.value.offset == 0


# S16 S32
def test_half_a_character_of_utf_16_is_damage(three):
    (three / "checkpoint").write_bytes('model_checkpoint_path: "ckpt-2"'.encode("utf-16")[:-1])
    with pytest.raises(cp.CheckpointCorruptError, match="not a state file"):
        cp.get_checkpoint_state(three)
    assert latest_number(three) == 10


# S32 S33
def test_where_none_is_whole_restore_says_why(three):
    for index in three.glob("*.index"):
        index.write_bytes(index.read_bytes()[:-5])
    path = cp.latest_checkpoint(three)
    assert path is not None  # None would start training over
    with pytest.raises(cp.CheckpointCorruptError):
        restore(Module(v=variable()), path)


# S32
def test_another_name_of_the_state_file(three):
    shutil.copy(three / "checkpoint", three / "mine")
    (three / "checkpoint").unlink()
    assert cp.latest_checkpoint(three, latest_filename="mine") == str(three / "ckpt-10")


# S32
def test_a_directory_stands_for_its_latest_checkpoint(three):
    root = Module(v=variable())
    restore(root, three).assert_consumed()
    assert float(root.v) == 10
    restore(root, three / "ckpt-2.index").assert_consumed()
    assert float(root.v) == 2
    assert dict(cp.list_variables(three))["v/.ATTRIBUTES/VARIABLE_VALUE"] == ()
    assert len(cp.object_metadata(three).nodes) == 2


# S32: its three assertions and run_restore_ops always fail; it initializes
def test_restoring_nothing(tmp_path):
    root = Module(v=variable(4))
    status = restore(root, None)
    assert isinstance(status, cp.InitializationOnlyStatus)
    calls = [
        *(status.assert_consumed, status.assert_existing_objects_matched),
        *(status.assert_nontrivial_match, status.run_restore_ops),
    ]
    for call in calls:
        with pytest.raises(AssertionError, match="No checkpoint specified"):
            call()
    assert status.initialize_or_restore() is None
    assert status.expect_partial() is status
    assert float(root.v) == 4
    ckpt = cp.Checkpoint(v=variable(4))
    assert isinstance(ckpt.restore(None), cp.InitializationOnlyStatus)
    assert isinstance(ckpt.read(None), cp.InitializationOnlyStatus)
