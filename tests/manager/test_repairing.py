"""A directory looked through, and its state file made right again."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from typer.testing import CliRunner

import checkpointable as cp
from checkpointable.cli.app import app
from checkpointable.maintenance.inspection import inspect_directory
from checkpointable.maintenance.repair import repair_directory
from tests.manager.helpers import flip, manager_of, names, save


@pytest.fixture
def directory(tmp_path):
    """Four checkpoints of a manager: 3 is damaged, and 4 is the latest."""
    manager = manager_of(tmp_path, 4)
    for _ in range(4):
        save(manager)
    flip(tmp_path / "ckpt-3.data-00000-of-00001")
    return tmp_path


def listing(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_what_is_there(directory):
    (directory / "ckpt-9.data-00000-of-00001").write_bytes(b"x")
    (directory / ".ckpt-9.index.tmp-1-00000000").write_bytes(b"x")
    (directory / "notes.txt").write_bytes(b"mine")
    inspection = inspect_directory(str(directory))
    assert names([c.prefix for c in inspection.checkpoints]) == [f"ckpt-{n}" for n in (4, 3, 2, 1)]
    assert names(inspection.whole) == ["ckpt-4", "ckpt-2", "ckpt-1"]
    assert [c.damages != [] for c in inspection.checkpoints] == [False, True, False, False]
    assert inspection.latest == str(directory / "ckpt-4")
    assert "ckpt-3" in inspection.problem
    assert names(inspection.strays) == [
        ".ckpt-9.index.tmp-1-00000000",
        "ckpt-9.data-00000-of-00001",
    ]


def test_the_state_file_names_what_is_whole_and_nothing_is_deleted(directory):
    before = listing(directory)
    done = repair_directory(str(directory))
    assert done.rewritten
    assert done.deleted == []
    assert done.latest == cp.latest_checkpoint(directory) == str(directory / "ckpt-4")
    state = cp.get_checkpoint_state(directory)
    assert names(state.all_model_checkpoint_paths) == ["ckpt-1", "ckpt-2", "ckpt-4"]
    assert len(state.all_model_checkpoint_timestamps) == 3
    after = listing(directory)
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {"checkpoint"}
    again = repair_directory(str(directory))
    assert not again.rewritten
    assert listing(directory) == after


def test_a_damaged_latest_gives_way_to_the_newest_that_is_whole(directory):
    flip(directory / "ckpt-4.index", 3)
    assert repair_directory(str(directory)).latest == str(directory / "ckpt-2")
    assert cp.get_checkpoint_state(directory).model_checkpoint_path == str(directory / "ckpt-2")


@pytest.mark.parametrize("what", ["missing", "damaged", "text"])
def test_without_a_usable_state_file_all_that_is_whole_is_listed(directory, what, caplog):
    path = directory / "checkpoint"
    if what == "missing":
        path.unlink()
    elif what == "damaged":
        flip(path, 30)
    else:
        path.write_text("something else")
    repair_directory(str(directory))
    state = cp.get_checkpoint_state(directory)
    assert names(state.all_model_checkpoint_paths) == ["ckpt-1", "ckpt-2", "ckpt-4"]
    assert state.last_preserved_timestamp is None  # no manager deletes what it does not know
    assert state.all_model_checkpoint_timestamps == sorted(state.all_model_checkpoint_timestamps)
    caplog.clear()
    assert cp.latest_checkpoint(directory) == str(directory / "ckpt-4")
    assert not caplog.messages


def test_deletion_is_asked_for(directory):
    (directory / "ckpt-9.data-00000-of-00001").write_bytes(b"x")
    (directory / ".ckpt-9.index.tmp-1-00000000").write_bytes(b"x")
    (directory / "ckpt-5.index.bak").write_bytes(b"mine")
    done = repair_directory(str(directory), delete=True)
    assert sorted(names(done.deleted)) == [
        ".ckpt-9.index.tmp-1-00000000",
        "ckpt-3",
        "ckpt-9.data-00000-of-00001",
    ]
    left = set(listing(directory))
    assert not {name for name in left if name.startswith(("ckpt-3", ".", "ckpt-9"))}
    assert "ckpt-5.index.bak" in left
    manager = manager_of(directory, 4)
    manager.restore_or_initialize()
    save(manager)
    assert names(manager.checkpoints) == ["ckpt-1", "ckpt-2", "ckpt-4", "ckpt-5"]


def test_where_nothing_is_whole_nothing_is_touched(directory):
    for path in directory.glob("*.index"):
        flip(path, 3)
    before = listing(directory)
    done = repair_directory(str(directory), delete=True)
    assert (done.latest, done.rewritten, done.deleted) == (None, False, [])
    assert listing(directory) == before


def test_what_cannot_be_read_is_neither_listed_nor_deleted(directory):
    data = directory / "ckpt-2.data-00000-of-00001"
    data.unlink()
    os.mkfifo(data)  # not a regular file: the system's refusal, no damage
    done = repair_directory(str(directory), delete=True)
    checkpoints = {os.path.basename(c.prefix): c for c in done.inspection.checkpoints}
    assert checkpoints["ckpt-2"].error is not None
    assert not checkpoints["ckpt-2"].is_whole
    assert (directory / "ckpt-2.index").exists()
    assert names(cp.get_checkpoint_state(directory).all_model_checkpoint_paths) == [
        "ckpt-1",
        "ckpt-4",
    ]


def test_a_live_writers_file_is_no_stray_to_be_deleted(directory):
    from checkpointable.storage import LocalStorage, create_temporary

    file = create_temporary(LocalStorage(), str(directory / "ckpt-9.data"), 4)
    done = repair_directory(str(directory), delete=True)
    assert names(done.deleted) == ["ckpt-3"]
    assert os.path.exists(file.path)
    file.close()


# -- from the shell ------------------------------------------------------------------------


def test_verify_all(directory):
    done = run("verify", "--all", directory)
    assert done.exit_code == 1
    assert f"OK: {directory}/ckpt-4: 3 values" in done.stdout
    assert f"DAMAGED: {directory}/ckpt-3: 1 place" in done.stdout
    assert "STATE FILE: it names checkpoints that are missing or not whole: ckpt-3" in done.stdout
    document = json.loads(run("verify", "--all", directory, "--json").stdout)
    assert not document["ok"]
    assert [c["ok"] for c in document["checkpoints"]] == [True, False, True, True]
    assert document["checkpoints"][1]["damage"][0]["key"]
    shutil.rmtree(directory)
    assert run("verify", "--all", directory).exit_code == 1


def test_repair_from_the_shell(directory):
    done = run("repair", directory)
    assert done.exit_code == 0
    assert f"the state file now names {directory}/ckpt-4" in done.stdout
    assert (directory / "ckpt-3.index").exists()
    done = run("repair", directory, "--delete")
    assert f"deleted: {directory}/ckpt-3" in done.stdout
    assert f"the state file names {directory}/ckpt-4" in done.stdout
    assert run("verify", "--all", directory).exit_code == 0
    document = json.loads(run("repair", directory, "--json").stdout)
    assert document["ok"]
    assert (document["rewritten"], document["deleted"]) == (False, [])
    for path in directory.glob("*.index"):
        flip(path, 3)
    done = run("repair", directory)
    assert done.exit_code == 1
    assert "no checkpoint is whole; nothing was changed" in done.stdout
