"""The state file, both ways, and both functions beside TensorFlow's (S16, S32)."""

from __future__ import annotations

import os
import shutil

import pytest
import tensorflow as tf
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.python.training.checkpoint_state_pb2 import CheckpointState

import checkpointable as cp
from tests.manager.helpers import names, program

ODD = [
    *("ckpt", "a b", "é-ü", "日本", "tab\there", "new\nline", 'quo"te', "back\\slash", "it's"),
    *("..hidden", "-1", "ckpt.index-2", "100%", "$HOME", "*", "\x7f\x01", "\U0001f600"),
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_both_ways(name, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    path = cp.CheckpointableSaver(program()).save(ours / name)
    assert path == str(ours / name)
    assert cp.latest_checkpoint(ours) == path
    assert tf.train.get_checkpoint_state(str(ours)).model_checkpoint_path == path
    if not set(name) & set("*\\?["):  # these TensorFlow takes for patterns
        assert tf.train.latest_checkpoint(str(ours)) == path

    theirs.mkdir()
    tf.compat.v1.train.update_checkpoint_state(str(theirs), str(theirs / name))
    assert cp.get_checkpoint_state(theirs).model_checkpoint_path == str(theirs / name)
    shutil.copy(f"{path}.index", f"{theirs / name}.index")
    shutil.copy(f"{path}.data-00000-of-00001", f"{theirs / name}.data-00000-of-00001")
    assert cp.latest_checkpoint(theirs) == str(theirs / name)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1)),
    latest=st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1),
    data=st.data(),
)
def test_what_either_writes_the_other_reads(paths, latest, data, tmp_path):
    odd = {".", "..", "checkpoint"}
    paths = [path for path in paths if path not in odd]
    if latest in odd:
        return
    count = len(paths) + (not paths or paths[-1] != latest)
    times = data.draw(
        st.none() | st.lists(st.floats(0, 2e9), min_size=count, max_size=count), label="times"
    )
    preserved = data.draw(st.none() | st.floats(0, 2e9), label="preserved")
    (tmp_path / "d").mkdir(exist_ok=True)
    directory = str(tmp_path / "d")
    arguments = {
        "all_model_checkpoint_timestamps": times,
        "last_preserved_timestamp": preserved,
    }
    read = []
    for update in (
        cp.update_checkpoint_state,
        tf.compat.v1.train.update_checkpoint_state,
    ):
        update(directory, latest, list(paths), **arguments)
        ours, theirs = cp.get_checkpoint_state(directory), tf.train.get_checkpoint_state(directory)
        state = (
            ours.model_checkpoint_path,
            ours.all_model_checkpoint_paths,
            ours.all_model_checkpoint_timestamps,
            ours.last_preserved_timestamp or 0.0,
        )
        assert state == (
            theirs.model_checkpoint_path,
            list(theirs.all_model_checkpoint_paths),
            list(theirs.all_model_checkpoint_timestamps),
            theirs.last_preserved_timestamp,
        )
        read.append(state)
    assert read[0] == read[1]


@pytest.mark.parametrize("save_dir", ["runs", "ABSOLUTE"])
@pytest.mark.parametrize(
    "path", ["runs/ckpt-1", "ckpt-1", "ABSOLUTE/ckpt-1", "ABSOLUTE/sub/ckpt-1"]
)
def test_what_a_relative_path_means(save_dir, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    save_dir, path = (p.replace("ABSOLUTE", str(tmp_path / "runs")) for p in (save_dir, path))
    found = []
    for update in (cp.update_checkpoint_state, tf.compat.v1.train.update_checkpoint_state):
        update(save_dir, path)
        state = tf.train.get_checkpoint_state(save_dir)
        found.append(os.path.abspath(state.model_checkpoint_path))
    assert found[0] == found[1]


def test_paths_in_the_directory_are_written_relative_to_it(tmp_path):  # S16
    outside = str(tmp_path / "elsewhere" / "ckpt-0")
    run = tmp_path / "run"
    run.mkdir()
    cp.update_checkpoint_state(run, run / "ckpt-2", [outside, run / "..ckpt-1"])
    text = (run / "checkpoint").read_text("utf-8")
    message = text_format.Parse(text, CheckpointState())
    assert message.model_checkpoint_path == "ckpt-2"
    assert list(message.all_model_checkpoint_paths) == [outside, "..ckpt-1", "ckpt-2"]


def test_a_moved_directory_with_absolute_paths_in_it(tmp_path):  # S16, S32
    first, second = tmp_path / "a", tmp_path / "b"
    program().write(first / "ckpt")
    tf.compat.v1.train.update_checkpoint_state(str(first), str(first / "ckpt"))
    assert str(first) in (first / "checkpoint").read_text("utf-8")
    shutil.move(first, second)
    assert cp.latest_checkpoint(second) == str(second / "ckpt")


def test_another_name_for_the_state_file(tmp_path):
    cp.update_checkpoint_state(tmp_path, tmp_path / "a", latest_filename="other")
    assert not (tmp_path / "checkpoint").exists()
    assert cp.get_checkpoint_state(tmp_path) is None
    assert names([cp.get_checkpoint_state(tmp_path, "other").model_checkpoint_path]) == ["a"]
    theirs = tf.train.get_checkpoint_state(str(tmp_path), "other")
    assert theirs.model_checkpoint_path == str(tmp_path / "a")


def test_times_must_match_the_paths(tmp_path):
    for update in (cp.update_checkpoint_state, tf.compat.v1.train.update_checkpoint_state):
        with pytest.raises(ValueError, match="timestamps"):
            update(str(tmp_path), "b", ["a"], all_model_checkpoint_timestamps=[1.0])
    assert cp.get_checkpoint_state(tmp_path) is None


def test_a_checkpoint_cannot_have_the_state_files_name(tmp_path):
    with pytest.raises(RuntimeError, match="give the checkpoint another name"):
        cp.update_checkpoint_state(tmp_path, tmp_path / "checkpoint")


def test_a_name_that_is_no_unicode_is_refused_by_name(tmp_path):
    odd = os.fsdecode(b"\xff-1")
    if odd.isprintable() or os.name == "nt":
        pytest.skip("this system's names are Unicode")
    with pytest.raises(cp.CheckpointUnsupportedError, match="not valid Unicode"):
        cp.update_checkpoint_state(tmp_path, tmp_path / odd)
    assert cp.get_checkpoint_state(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"\xff\xfe", b"model_checkpoint_path: 3", b"nonsense", b'model_checkpoint_path: "'),
        *(b'all_model_checkpoint_paths: "a"', b'model_checkpoint_path: "\\377"', b"{" * 10_000),
    ],
)
def test_what_is_no_state_file_is_corrupt(text, tmp_path):  # S33
    (tmp_path / "checkpoint").write_bytes(text)
    with pytest.raises(cp.CheckpointCorruptError, match="not a state file"):
        cp.get_checkpoint_state(tmp_path)


def test_fields_of_a_newer_writer_are_no_damage(tmp_path):
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "a"\nshape { size: 3 }\n')
    assert names([cp.get_checkpoint_state(tmp_path).model_checkpoint_path]) == ["a"]


def test_none_where_there_is_none(tmp_path):
    assert cp.get_checkpoint_state(tmp_path) is None
    assert cp.get_checkpoint_state(tmp_path / "nowhere") is None
