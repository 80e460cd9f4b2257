"""Checkpoints made of others: what their name names already stays, also what comes meanwhile."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager

import numpy as np
import pytest
from typer.testing import CliRunner

import checkpointable as cp
from checkpointable.cli.app import app
from checkpointable.maintenance.convert import from_tensors, to_safetensors
from checkpointable.readers.foreign import write_safetensors
from checkpointable.storage import use_storage
from checkpointable.testing import WatchedStorage


def variable():
    return cp.Variable(np.arange(4.0), name="v")


def of_names(directory):
    return cp.Saver([variable()]).save(directory / "names", 1)


def of_objects(directory):
    return cp.Checkpoint(v=variable()).write(directory / "objects")


def of_tensors(directory):
    write_safetensors(str(directory / "x.safetensors"), {"v": np.arange(4.0)})
    return cp.load_checkpoint(directory / "x.safetensors")


def rename(directory, target):
    return cp.rename_checkpoint(of_objects(directory), target, {"v": "w"})


def reencode(directory, target):
    return cp.reencode_checkpoint(of_names(directory), target)


def convert(directory, target):
    with of_tensors(directory) as reader:
        return from_tensors(reader, str(target))


class SomebodyElse(WatchedStorage):
    """Somebody writes a checkpoint of this name as soon as there is another's data file."""

    def __init__(self, target):
        super().__init__(kinds=frozenset({"create", "link"}))
        self._target = target

    @contextmanager
    def around(self, operation):
        yield
        name = os.path.basename(operation.path)
        if name.startswith((".target.data", "target.data")) and self._target is not None:
            target, self._target = self._target, None
            with use_storage(self.inner):
                cp.Checkpoint(theirs=cp.Variable(7)).write(target)


@pytest.mark.parametrize("make", [rename, reencode, convert])
def test_what_appears_meanwhile_stays(tmp_path, make):
    target = tmp_path / "target"
    refused = pytest.raises(cp.CheckpointIOError, match="exists already")
    with use_storage(SomebodyElse(target)), refused as caught:
        make(tmp_path, target)
    assert caught.value.errno == errno.EEXIST
    with cp.load_checkpoint(target) as reader:
        assert reader.get_tensor("theirs/.ATTRIBUTES/VARIABLE_VALUE") == 7
        assert reader.verify() == []
    assert not [name for name in os.listdir(tmp_path) if ".tmp-" in name]


def test_converting_replaces_only_what_it_is_told_to(tmp_path):
    source = of_objects(tmp_path)
    of_tensors(tmp_path).close()
    file, prefix = tmp_path / "new.safetensors", tmp_path / "new"
    for arguments in ((source, file), (tmp_path / "x.safetensors", prefix)):
        command = ["convert", *map(str, arguments)]
        assert CliRunner().invoke(app, command).exit_code == 0
        kept = {path.name: path.stat().st_ino for path in tmp_path.glob("new*")}
        again = CliRunner().invoke(app, command)
        assert again.exit_code == 1
        assert "of this name exists already; overwrite replaces it" in again.output
        assert {path.name: path.stat().st_ino for path in tmp_path.glob("new*")} == kept
        done = CliRunner().invoke(app, [*command, "--overwrite"])
        assert done.exit_code == 0, done.output


def test_the_old_name_of_the_option_for_a_module_warns(tmp_path):
    of_tensors(tmp_path).close()
    command = ["convert", str(tmp_path / "x.safetensors"), str(tmp_path / "new")]
    done = CliRunner().invoke(app, [*command, "--prefix", "nets"])
    assert done.exit_code == 0
    warning = "--prefix is deprecated and will be removed in checkpointable 0.2; use --module"
    assert done.stderr == f"warning: {warning}\n"
    assert cp.list_variables(tmp_path / "new")[1] == ("nets/v/.ATTRIBUTES/VARIABLE_VALUE", (4,))
    done = CliRunner().invoke(app, [*command, "--prefix", "nets", "--module", "nets"])
    assert done.exit_code == 2
    assert "--prefix is the old name of --module" in done.output


def test_a_file_that_appears_while_all_is_verified_stays(tmp_path):
    path = tmp_path / "new.safetensors"
    refused = pytest.raises(cp.CheckpointIOError, match="exists already")
    with cp.load_checkpoint(of_objects(tmp_path)) as reader, refused:
        to_safetensors(reader, str(path), progress=lambda *_: path.write_bytes(b"theirs"))
    assert path.read_bytes() == b"theirs"


# -- names that are deeper than any program ------------------------------------------------

DEEP = 50_000


def test_a_name_of_many_segments_is_reencoded(tmp_path):
    name = "/".join(["ab"] * DEEP)
    cp.Saver({name: variable()}).save(tmp_path / "names")
    path = cp.reencode_checkpoint(tmp_path / "names", tmp_path / "out")
    graph = cp.object_metadata(path)
    assert len(graph.nodes) == DEEP + 1
    assert cp.list_variables(path)[1] == (f"{name}/.ATTRIBUTES/VARIABLE_VALUE", (4,))


def test_a_tensor_of_many_segments_is_converted(tmp_path):
    name = ".".join(["ab"] * DEEP)
    write_safetensors(str(tmp_path / "x.safetensors"), {name: np.arange(4.0)})
    with cp.load_checkpoint(tmp_path / "x.safetensors") as reader:
        from_tensors(reader, str(tmp_path / "out"), "some.Sdeep/module")
    key = f"some.Sdeep/module/{name.replace('.', '/')}/.ATTRIBUTES/VARIABLE_VALUE"
    assert cp.list_variables(tmp_path / "out")[1] == (key, (4,))
    assert len(cp.object_metadata(tmp_path / "out").nodes) == DEEP + 3


def test_deep_paths_that_differ_everywhere_are_compared(tmp_path):
    for name in ("a", "b"):
        names = ["/".join([f"{name}{i}"] * 2000) for i in range(12)]
        cp.Saver({each: variable() for each in names}).save(tmp_path / name)
    comparison = cp.compare_checkpoints(tmp_path / "a", tmp_path / "b")
    assert comparison.counts == {"only in the first": 12, "only in the second": 12}
    assert comparison.renames == {}
