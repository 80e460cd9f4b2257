"""The commands that look at every byte tell how far they are, for a bar on a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest

import checkpointable as cp
from tests.cli.helpers import call

COMMANDS = {
    "verify": ["verify", "a"],
    "verify --all": ["verify", "--all", "."],
    "repair": ["repair", "."],
    "diff": ["diff", "a", "b"],
    "rename": ["rename", "a", "new", "x=y"],
    "reencode": ["reencode", "named", "new"],
    "convert": ["convert", "a", "new.safetensors"],
    "convert back": ["convert", "a.safetensors", "new"],
    "manifest": ["manifest", "a"],
    "manifest --verify": ["manifest", "b", "--verify"],
    "show": ["show", "a", "x"],
    "show of integers": ["show", "a", "n", "--json"],
    "show of complex numbers": ["show", "a", "c"],
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = {
        "x": cp.Variable(np.arange(300_000.0), name="x"),
        "n": cp.Variable(np.arange(300_000), name="n"),
        "c": cp.Variable((np.arange(300_000) + 1j).astype("complex64"), name="c"),
    }
    checkpoint = cp.Checkpoint(**objects)
    checkpoint.write("a")
    checkpoint.write("b", sign_with=True)
    cp.update_checkpoint_state(".", "a")
    cp.Saver(list(objects.values())).save("named")
    call("convert", "a", "a.safetensors")


@pytest.mark.parametrize("command", COMMANDS)
def test_progress_is_told_to_the_end(files, monkeypatch, command):
    told = []

    @contextmanager
    def bar(title):
        yield lambda *how_far: told.append(how_far)

    name = COMMANDS[command][0]
    monkeypatch.setattr(f"checkpointable.cli.commands.{name}.progress_bar", bar)
    result = call(*COMMANDS[command])
    assert result.exit_code == 0, result.stderr
    assert told
    # Each of several checkpoints, and of several looks at one, has an end of its own.
    for (done, total, _), (later, other, _) in [*pairwise(told), (told[-1], (0, 0, ""))]:
        assert 0 < done <= total
        if other != total or later < done:
            assert done == total
