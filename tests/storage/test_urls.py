"""A URL is an error wherever a path is given, and never a local directory called `gs:`."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest
from typer.testing import CliRunner

import checkpointable as cp
from checkpointable.cli.app import app
from checkpointable.testing import MemoryStorage

URLS = ["gs://bucket/run", "s3://bucket/run", "S3A://b/r", "https://host/x", "foo+bar://x/y"]

USES = {
    "save": lambda c, url: c.save(f"{url}/ckpt"),
    "save_async": lambda c, url: c.save_async(f"{url}/ckpt"),
    "write": lambda c, url: c.write(f"{url}/ckpt"),
    "write_async": lambda c, url: c.write_async(f"{url}/ckpt"),
    "restore": lambda c, url: c.restore(url),
    "read": lambda c, url: c.read(url),
    "plan": lambda c, url: c.plan(url),
    "manager": lambda c, url: cp.CheckpointManager(c, url, 3),
    "saver": lambda c, url: cp.CheckpointableSaver(c).save(f"{url}/ckpt"),
    "name-based": lambda c, url: cp.Saver({"v": c.v}).save(f"{url}/ckpt"),
    "name-based restore": lambda c, url: cp.Saver({"v": c.v}).restore(url),
    "latest_checkpoint": lambda c, url: cp.latest_checkpoint(url),
    "state": lambda c, url: cp.get_checkpoint_state(url),
    "update_checkpoint_state": lambda c, url: cp.update_checkpoint_state(url, "ckpt-1"),
    "iterator": lambda c, url: next(iter(cp.checkpoints_iterator(url, timeout=0))),
    "load_checkpoint": lambda c, url: cp.load_checkpoint(url),
    "list_variables": lambda c, url: cp.list_variables(url),
    "compare": lambda c, url: cp.compare_checkpoints(url, url),
}


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not [name for name in os.listdir(tmp_path) if ":" in name]


def program(value=0.0, **options):
    return cp.Checkpoint(v=cp.Variable(np.full(3, value), name="v"), **options)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("use", list(USES))
def test_every_function_refuses_a_url(use, url):
    checkpoint = program()
    with pytest.raises(cp.CheckpointUnsupportedError, match="object stores are not supported") as e:
        USES[use](checkpoint, url)
    assert "copy the checkpoint" in str(e.value)
    assert "storage=" in str(e.value)
    assert url in str(e.value)
    assert int(checkpoint.save_counter.numpy()) == 0


@pytest.mark.parametrize("path", ["s3://bucket/run", "gs://bucket", "dbfs:/mnt/x"])
def test_pathlib_takes_a_slash_away_and_it_is_a_url_still(path):
    with pytest.raises(cp.CheckpointUnsupportedError, match="URL"):
        cp.latest_checkpoint(pathlib.Path(path))


@pytest.mark.parametrize("command", ["ls", "show", "verify", "repair", "manifest"])
def test_commands_refuse_a_url(command):
    done = CliRunner().invoke(app, [command, "s3://bucket/run/ckpt-1"])
    assert done.exit_code
    assert "object stores" in " ".join(done.output.split())


def test_convert_refuses_a_url_on_either_side():
    path = program().save("ckpt")
    for arguments in ([path, "s3://b/x.safetensors"], ["s3://b/x.safetensors", "there"]):
        done = CliRunner().invoke(app, ["convert", *arguments])
        assert done.exit_code
        assert "object stores" in " ".join(done.output.split())


def test_names_with_colons_are_no_urls(directory):
    for name in ("run:1", "12:30", "c:", "a:/b"):
        program(2.0).save(f"./{name}/ckpt")
        checkpoint = program()
        checkpoint.restore(cp.latest_checkpoint(f"./{name}")).assert_consumed()
        assert checkpoint.v.numpy()[0] == 2.0
    for name in os.listdir(directory):
        os.rename(name, name.replace(":", "_"))


def test_a_tilde_is_the_home_directory(directory, monkeypatch):
    monkeypatch.setenv("HOME", str(directory / "home"))
    monkeypatch.setenv("USERPROFILE", str(directory / "home"))
    path = program(4.0).save("~/run/ckpt")
    assert path == str(directory / "home/run/ckpt-1")
    manager = cp.CheckpointManager(program(5.0), pathlib.Path("~/managed"), 3)
    manager.save()
    assert (directory / "home/managed/ckpt-1.index").exists()
    for place in ("~/run", "~/run/ckpt-1", pathlib.Path("~/run")):
        checkpoint = program()
        checkpoint.restore(place).assert_consumed()
        assert checkpoint.v.numpy()[0] == 4.0
    assert cp.latest_checkpoint("~/run") == path
    assert not os.path.exists("~")


def test_a_file_url_is_a_local_path(directory):
    url = (directory / "my run").as_uri()
    assert url.startswith("file:///")
    path = program(4.0).save(f"{url}/ckpt")
    assert path == str(directory / "my run" / "ckpt-1")
    assert cp.latest_checkpoint(url) == path
    assert cp.latest_checkpoint(url.replace("file:///", "file://localhost/")) == path
    with pytest.raises(cp.CheckpointUnsupportedError, match="another host"):
        cp.latest_checkpoint("file://server/share")


class Bucket(MemoryStorage):
    """A storage that keeps what it was asked for."""

    def __init__(self):
        super().__init__()
        self.given = []

    def path_of(self, given):
        self.given.append(given)
        return super().path_of(given)

    def create(self, path, size):
        self.given.append(path)
        return super().create(path, size)


@pytest.mark.parametrize("prefix", ["s3://bucket/run/ckpt", "~/run/ckpt"])
def test_an_explicit_storage_gets_paths_as_they_are_given(prefix):
    bucket = Bucket()
    path = program(4.0, storage=bucket).save(prefix)
    assert path == f"{prefix}-1"
    assert prefix in bucket.given
    checkpoint = program(storage=bucket)
    checkpoint.restore(os.path.dirname(prefix)).assert_consumed()
    assert checkpoint.v.numpy()[0] == 4.0
    if prefix.startswith("s3"):
        assert any(p.startswith("s3://bucket/run/.ckpt-1.index") for p in bucket.given)
