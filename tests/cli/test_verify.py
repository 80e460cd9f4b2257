from __future__ import annotations

import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.bundle import DataType
from checkpointable.graph.paths import GRAPH_KEY
from tests.cli.helpers import call, document, output, save_program, string, write

DATA = ".data-00000-of-00001"


@pytest.fixture
def copy(program, tmp_path):
    """A copy of the program's checkpoint, to be damaged."""
    for ending in (".index", DATA):
        shutil.copy(f"{program}{ending}", tmp_path / f"c{ending}")
    return tmp_path / "c"


def flip(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes((byte ^ 0x10,)))


def test_a_whole_checkpoint(program):
    size = os.path.getsize(f"{program}{DATA}")
    listed = document("ls", program)["totals"]
    assert output("verify", program) == f"OK: 9 values, {listed['bytes']} bytes\n"
    assert listed["bytes"] <= size
    assert document("verify", program) == {
        "checkpoint": str(program),
        "ok": True,
        "values": 9,
        "bytes": listed["bytes"],
        "damage": [],
        "manifest": None,
    }


def test_what_tensorflow_wrote_is_whole(tmp_path):
    import tensorflow as tf

    values = {"s": tf.Variable(["a", "bc"]), "v": tf.Variable(tf.ones((3, 4)))}
    prefix = tf.train.Checkpoint(**values).write(str(tmp_path / "tf"))
    assert output("verify", prefix).startswith("OK: 3 values")


@pytest.mark.parametrize("name", ["basic_pitch_prefix", "chiron_prefix"])
def test_the_real_checkpoints_are_whole(request, name):
    assert output("verify", request.getfixturevalue(name)).startswith("OK: ")


def test_each_damaged_value_is_named_with_file_key_and_offset(copy):
    (about,) = document("show", copy, "model/kernel")["values"]
    (other,) = document("show", copy, "model/layers/1")["values"]
    for value in (about, other):
        flip(f"{copy}{DATA}", value["stored"][0]["offset"] + 2)
    result = call("verify", copy)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    for value, line in zip((about, other), lines, strict=False):
        where = f"{copy}{DATA}, key '{value['key']}', offset {value['stored'][0]['offset']}: "
        assert line.startswith(where)
    assert lines[-1] == f"DAMAGED: {copy}: 2 places"
    result = call("verify", copy, "--json")
    assert result.exit_code == 1
    verified = json.loads(result.stdout)
    assert not verified["ok"]
    assert [damage["key"] for damage in verified["damage"]] == [about["key"], other["key"]]
    assert set(verified["damage"][0]) == {"path", "key", "offset", "what"}


def damage_index(copy):
    flip(f"{copy}.index", 20)


def cut_index(copy):
    os.truncate(f"{copy}.index", 30)


def cut_data(copy):
    os.truncate(f"{copy}{DATA}", 10)


def lengthen_data(copy):
    with open(f"{copy}{DATA}", "ab") as f:
        f.write(b"x")


def remove_data(copy):
    os.remove(f"{copy}{DATA}")


def empty_index(copy):
    os.truncate(f"{copy}.index", 0)


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (damage_index, ".index"),
        (cut_index, ".index"),
        (empty_index, ".index"),
        (cut_data, DATA),
        (lengthen_data, DATA),
        (remove_data, DATA),
    ],
)
def test_other_damage_is_listed_too(copy, damage, file):
    damage(copy)
    result = call("verify", copy)
    assert result.exit_code == 1
    assert result.stderr == ""
    assert f"{copy}{file}" in result.stdout
    assert result.stdout.splitlines()[-1].startswith(f"DAMAGED: {copy}: ")
    assert json.loads(call("verify", copy, "--json").stdout)["damage"]


def test_a_graph_that_is_none_although_its_checksum_holds(tmp_path):
    write(tmp_path / "x", {GRAPH_KEY: string(b"\x0a\x02\x0a\x7f")})
    result = call("verify", tmp_path / "x")
    assert result.exit_code == 1
    assert f"key '{GRAPH_KEY}'" in result.stdout
    write(tmp_path / "y", {GRAPH_KEY: np.float32(1)})
    assert call("verify", tmp_path / "y").exit_code == 1


def test_a_directory_means_the_checkpoint_that_its_state_file_names(tmp_path):
    first = save_program(tmp_path)
    shutil.copy(f"{first}.index", tmp_path / "older.index")
    shutil.copy(f"{first}{DATA}", tmp_path / f"older{DATA}")
    os.truncate(f"{first}{DATA}", 10)
    # latest_checkpoint goes back to the older one; who verifies wants to know
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "older")
    result = call("verify", tmp_path)
    assert result.exit_code == 1
    assert f"DAMAGED: {first}" in result.stdout
    # without a state file: the newest whole one, with a warning
    (tmp_path / "checkpoint").unlink()
    result = call("verify", tmp_path)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"warning: {tmp_path}: no state file")


def test_a_state_file_that_cannot_be_read_is_warned_about(tmp_path):
    first = save_program(tmp_path)
    (tmp_path / "checkpoint").write_bytes(b"\xff")
    result = call("verify", tmp_path)
    assert result.exit_code == 0
    assert "the state file cannot be used" in result.stderr
    assert document("verify", tmp_path)["checkpoint"] == str(first)


def test_what_is_not_there_is_an_error(tmp_path):
    result = call("verify", tmp_path / "none", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")


def test_a_dtype_that_nobody_knows_is_verified(tmp_path):
    from checkpointable.bundle import BundleReader, Header, write_index

    write(tmp_path / "x", {"v": np.zeros(3, np.uint8)})
    with BundleReader(tmp_path / "x") as reader:
        e = reader.entry("v")
    entry = type(e)(DataType(99), (3,), e.shard, e.offset, e.size, e.crc)
    write_index(tmp_path / "x.index", Header(), [("v", entry)])
    assert output("verify", tmp_path / "x").startswith("OK: 1 value")
    flip(f"{tmp_path / 'x'}{DATA}", 1)
    assert call("verify", tmp_path / "x").exit_code == 1


def test_a_progress_bar_is_drawn_after_a_second_on_a_terminal(monkeypatch, capsys):
    from checkpointable.cli.formatting import progress as module

    now = iter([0.0, 0.5, 1.5, 2.5])
    # In place of the module's clock only: rich reads the clock of the system.
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with module.progress_bar("verify") as progress:
        progress(1, 4, "a")
        assert capsys.readouterr().err == ""
        progress(2, 4, "b")
        progress(3, 4, "c")
    assert "verify" in capsys.readouterr().err


def test_no_progress_bar_elsewhere(capsys):
    from checkpointable.cli.formatting import progress as module

    with module.progress_bar("verify") as progress:
        progress(1, 4, "a")
    assert capsys.readouterr().err == ""
