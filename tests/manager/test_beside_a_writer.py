"""Readers of a directory into which another program saves at that moment (promise 5)."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

import checkpointable as cp
from checkpointable.cli.app import app
from checkpointable.maintenance.inspection import inspect_directory
from checkpointable.storage import use_storage
from checkpointable.testing import READS, WatchedStorage
from tests.manager.helpers import manager_of, program


class Meanwhile(WatchedStorage):
    """Something happens just before a file is opened, each time for another file."""

    def __init__(self, happens, *paths):
        super().__init__(kinds=READS)
        self._happens = happens
        self._paths = list(map(str, paths))

    @contextmanager
    def around(self, operation):
        if operation.kind == "open" and operation.path in self._paths:
            self._paths.remove(operation.path)
            with use_storage(self.inner):
                self._happens()
        yield


@pytest.fixture
def writer(tmp_path):
    """A manager that keeps one, and has saved ckpt-1."""
    manager = manager_of(tmp_path, 1)
    manager.save()
    return manager


def beside(writer, directory):
    """A storage with which ckpt-1, and then ckpt-2, is deleted once it has been found."""
    paths = [directory / f"ckpt-{number}.index" for number in (1, 2)]
    return Meanwhile(writer.save, *paths)


def test_the_latest_is_asked_for_again_where_it_was_deleted_since(writer, tmp_path, caplog):
    with use_storage(beside(writer, tmp_path)):
        assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-3")
    assert caplog.messages == []


def test_what_is_not_the_latest_yet_is_no_substitute(writer, tmp_path):
    """Else a reader would see a newer checkpoint, and then an older one."""
    newer = program()

    def save():
        writer.save()
        newer.write(tmp_path / "ckpt-3")  # its index is there, the state file does not name it yet

    with use_storage(Meanwhile(save, tmp_path / "ckpt-1.index")):
        assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-2")


@pytest.mark.parametrize(
    "read",
    [
        lambda path: program().restore(path),
        lambda path: program().plan(path),
        cp.load_checkpoint,
        cp.list_variables,
        cp.object_metadata,
    ],
    ids=["restore", "plan", "load_checkpoint", "list_variables", "object_metadata"],
)
def test_a_directory_is_read_although_its_latest_is_deleted_meanwhile(writer, tmp_path, read):
    seen = []

    class AtTheSecondTime(WatchedStorage):  # the first one is a look at whether it is whole
        @contextmanager
        def around(self, operation):
            if operation.path == str(tmp_path / "ckpt-1.index"):
                seen.append(operation.path)
                if len(seen) == 2:
                    with use_storage(self.inner):
                        writer.save()
            yield

    with use_storage(AtTheSecondTime(kinds=frozenset({"open"}))):
        read(str(tmp_path))
    assert len(seen) == 2
    assert writer.checkpoints == [str(tmp_path / "ckpt-2")]


def test_all_is_verified_beside_a_writer(writer, tmp_path):
    with use_storage(beside(writer, tmp_path)):
        inspection = inspect_directory(str(tmp_path))
    assert [os.path.basename(c.prefix) for c in inspection.checkpoints] == ["ckpt-3"]
    assert inspection.problem is None
    assert inspection.latest == str(tmp_path / "ckpt-3")


@pytest.mark.parametrize("command", [["verify"], ["verify", "--all"], ["repair"]])
def test_commands_beside_a_writer(writer, tmp_path, command):
    with use_storage(beside(writer, tmp_path)):
        result = CliRunner().invoke(app, [*command, str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "OK" in result.output


def test_nothing_to_verify_is_said(tmp_path):
    result = CliRunner().invoke(app, ["verify", "--all", str(tmp_path)])
    assert result.exit_code == 1
    assert "the directory contains no checkpoint" in result.output


def test_a_state_file_without_checkpoints_is_no_silent_first_start(tmp_path, caplog):  # S32
    program().save(tmp_path / "ckpt")
    for path in tmp_path.glob("ckpt-1.*"):
        path.unlink()
    with caplog.at_level(logging.WARNING, "checkpointable"):
        assert cp.latest_checkpoint(tmp_path) is None
    (message,) = caplog.messages
    assert (
        "ckpt-1, which is missing; the directory has no checkpoint, as before a first start"
        in message
    )
    caplog.clear()
    assert cp.latest_checkpoint(tmp_path / "new") is None
    assert caplog.messages == []
