"""`checkpointable rename` and `reencode`."""

from __future__ import annotations

import os

import numpy as np
import pytest

import checkpointable as cp
from tests.cli.helpers import call, document, output, write


def keys(prefix):
    return [value["key"] for value in document("ls", prefix)["values"]]


def test_rename(program, tmp_path):
    text = output("rename", program, tmp_path / "b", "model/layers=model/blocks", "optimizer=opt")
    assert text == f"{tmp_path / 'b'}: 4 of 9 values under other keys\n"
    assert "model/blocks/1/.ATTRIBUTES/VARIABLE_VALUE" in keys(tmp_path / "b")
    assert "model/kernel/.OPTIMIZER_SLOT/opt/momentum/.ATTRIBUTES/VARIABLE_VALUE" in keys(
        tmp_path / "b"
    )
    assert output("verify", tmp_path / "b").startswith("OK: 9 values")
    assert os.path.samefile(f"{program}.data-00000-of-00001", tmp_path / "b.data-00000-of-00002")
    assert "blocks" in output("show", tmp_path / "b")
    renamed_back = ["model/blocks=model/layers", "opt=optimizer"]
    output("rename", tmp_path / "b", tmp_path / "c", *renamed_back)
    assert call("diff", program, tmp_path / "c").exit_code == 0


def test_a_dry_run_writes_nothing(program, tmp_path):
    text = output("rename", program, tmp_path / "d" / "b", "model/l*=net/m*", "--dry-run")
    assert text == (
        "model/layers/1/.ATTRIBUTES/VARIABLE_VALUE\tnet/mayers/1/.ATTRIBUTES/VARIABLE_VALUE\n"
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing=x"], "rename 'nothing' matches nothing in the checkpoint"),
        (["modle=x"], "similar ones: model"),
        (["model=optimizer"], "optimizer is taken by another object"),
        (["model=a.b"], "must be followed by"),
    ],
)
def test_renames_that_cannot_be(program, tmp_path, arguments, message):
    result = call("rename", program, tmp_path / "b", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert message in line
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model"], "not of the form old=new"),
        (["=x"], "not of the form"),
        (["x="], "not of the form"),
        (["a=b=c"], "rename_checkpoint"),
        (["a=b", "a=c"], "'a' is renamed twice"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage(program, tmp_path, arguments, message):
    result = call("rename", program, tmp_path / "b", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("command", "more"), [("rename", ["x=z"]), ("reencode", [])], ids=["rename", "reencode"]
)
def test_targets(tmp_path, command, more):
    source = write(tmp_path / "a", {"x/y": np.ones(2)})
    write(tmp_path / "b", {"other": np.ones(3)})
    before = {entry.name for entry in tmp_path.iterdir()}
    for target, message in (
        (tmp_path / "b", "exists already"),
        (source, "over itself"),
        (tmp_path, f"is a directory: pass a checkpoint prefix, such as {tmp_path / 'a'}"),
        (f"{tmp_path}/c/", "is a directory"),
    ):
        extra = ["--overwrite"] if target == source else []
        result = call(command, source, target, *more, *extra)
        assert (result.exit_code, result.stdout) == (1, "")
        assert message in result.stderr
        assert {entry.name for entry in tmp_path.iterdir()} == before
    for _ in range(3):
        output(command, source, tmp_path / "b", *more, "--overwrite")
        assert output("verify", tmp_path / "b").startswith("OK: ")
    assert keys(source) == ["x/y"]


def test_reencode(tmp_path):
    values = {"conv/w": np.ones((2, 3)), "conv/w/Adam": np.zeros((2, 3)), "step": np.int64(7)}
    source = write(tmp_path / "a", values)
    text = output("reencode", source, tmp_path / "d" / "b")
    assert text == f"{tmp_path / 'd' / 'b'}: 3 values as objects\n"
    assert call("diff", source, tmp_path / "d" / "b").exit_code == 0
    assert "5 objects" in output("show", tmp_path / "d" / "b")

    class Program(cp.Checkpointable):
        def __init__(self):
            self.step = cp.Variable(np.int64(0))

    fresh = Program()
    cp.CheckpointableSaver(fresh).restore(tmp_path / "d" / "b").expect_partial()
    assert int(fresh.step) == 7


def test_reencode_of_objects_is_refused(program, tmp_path):
    result = call("reencode", program, tmp_path / "b")
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {program}: this checkpoint already has an object graph; `checkpointable rename` "
        "changes its paths\n"
    )


def test_no_checkpoint_there(tmp_path):
    for arguments in (
        ["rename", tmp_path / "x", tmp_path / "y", "a=b"],
        ["reencode", tmp_path / "x", tmp_path / "y"],
    ):
        result = call(*arguments)
        assert result.exit_code == 1
        assert "there is no checkpoint of this name" in result.stderr
