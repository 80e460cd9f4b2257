"""docs/command-line.md names every option, every field of the JSON, every exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpointable as cp
from tests.cli.helpers import Momentum, Net, call, document, output, write

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def fields(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for name, item in document.items():
            yield name
            if name != "by_dtype":
                yield from fields(item)
    elif isinstance(document, list):
        for item in document:
            yield from fields(item)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("ls", []), ("show", []), ("show", ["model/kernel"]), ("verify", [])],
)
def test_every_field_is_explained(program, command, arguments):
    section = PAGE.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    explained = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", section))))
    shown = document(command, program, *arguments)
    assert set(fields(shown)) <= explained


def test_every_field_about_a_manifest_is_explained(tmp_path):
    section = PAGE.partition("\n## manifest\n")[2].partition("\n## ")[0]
    explained = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", section))))
    path = cp.Checkpoint(v=cp.Variable(1.0)).save(tmp_path / "ckpt")
    assert set(fields(document("manifest", path))) <= explained
    assert set(fields(document("verify", path)["manifest"])) <= explained


MAPPINGS = {"counts", "renames", "counts_with_renames"}


@pytest.mark.parametrize("command", ["diff", "explain"])
def test_every_field_of_a_comparison_is_explained(program, tmp_path, monkeypatch, command):
    section = PAGE.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    explained = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", section))))
    (tmp_path / "an_empty_program.py").write_text(
        "import checkpointable as cp\nx = cp.Checkpoint()"
    )
    monkeypatch.chdir(tmp_path)
    other = write(tmp_path / "other", {"x": 1})
    result = call(command, program, other if command == "diff" else "an_empty_program:x", "--json")
    shown = json.loads(result.stdout)
    assert MAPPINGS & set(shown) <= explained
    assert set(fields({k: v for k, v in shown.items() if k not in MAPPINGS})) <= explained


@pytest.mark.parametrize(
    "command", ["ls", "show", "verify", "diff", "explain", "rename", "reencode", "manifest"]
)
def test_every_option_is_explained(command):
    options = set(re.findall(r"--[a-z-]+", output(command, "--help"))) - {"--help"}
    assert options
    assert {option for option in options if option not in PAGE} == set()


def test_the_tree_on_the_page_is_what_is_printed(program):
    block = PAGE.partition("$ checkpointable show runs/a\n")[2].partition("```")[0]
    assert output("show", program) == block


def test_the_value_on_the_page_is_what_is_printed(program):
    block = PAGE.partition("$ checkpointable show runs/a model/kernel\n")[2].partition("```")[0]
    shown = output("show", program, "model/kernel")

    def without_place(text):
        return re.sub(r"offset \d+", "offset …", text)

    assert without_place(shown) == without_place(block)


def test_the_explanation_on_the_page_is_what_is_printed(tmp_path, monkeypatch):
    block = PAGE.partition("$ checkpointable explain runs/old train:make_model\n")[2]
    (tmp_path / "page_train.py").write_text(
        "import numpy as np\n"
        "import checkpointable as cp\n"
        "class Part(cp.Checkpointable):\n"
        "    def __init__(self, **parts):\n"
        "        for name, part in parts.items():\n"
        "            setattr(self, name, part)\n"
        "def layer(i, o):\n"
        "    ones = np.ones\n"
        "    return Part(kernel=cp.Variable(ones((i, o))), bias=cp.Variable(ones(o)))\n"
        "def old():\n"
        "    cp.CheckpointableSaver(make_model('blocks')).save('runs/old/ckpt', 1)\n"
        "    return make_model()\n"
        "def make_model(name='layers'):\n"
        "    return Part(encoder=Part(**{name: layer(2, 2)}), head=layer(2, 1))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import page_train

    page_train.old()
    assert call("explain", "runs/old", "page_train:make_model").stdout == block.partition("```")[0]
    block = PAGE.partition("$ checkpointable rename runs/old ")[2].partition("```")[0]
    arguments, _, shown = block.partition("\n")
    assert output("rename", "runs/old", *arguments.split()) == shown


def test_the_difference_on_the_page_is_what_is_printed(tmp_path, monkeypatch):
    block = PAGE.partition("$ checkpointable diff runs/a/ckpt-1 runs/a/ckpt-2\n")[2]
    net = Net()
    optimizer, state = Momentum(net.kernel, net.layers[0]), cp.JSONState(line=12)
    checkpoint = cp.Checkpoint(model=net, optimizer=optimizer, position=state)
    monkeypatch.chdir(tmp_path)
    checkpoint.save("runs/a/ckpt")
    net.kernel.assign_add(np.ones((2, 3)))
    optimizer.get_slot(net.kernel, "momentum").assign([[0.5, 0, 0], [0, 0, 0]])
    state["line"] = 13
    checkpoint.save("runs/a/ckpt")
    shown = call("diff", "runs/a/ckpt-1", "runs/a/ckpt-2", FORCE_COLOR="1", NO_COLOR="1")
    assert shown.stdout == block.partition("```")[0]
