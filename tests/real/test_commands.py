"""The commands that compare and make checkpoints, on real ones."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from tests.cli.helpers import call, document, output

# The program that a file's own object graph describes, its paths perhaps renamed.
PROGRAM = """
import numpy as np
import checkpointable as cp
from checkpointable.graph.renames import rename_graph

PREFIX = {prefix!r}
RENAMES = {renames!r}
# Keras has further names for what its layers hold, by which all would match.
ALIASES = ("layer-", "layers", "variables", "trainable_variables", "non_trainable_variables")


def make():
    graph = rename_graph(cp.object_metadata(PREFIX), RENAMES)
    slots = {{s.slot_variable_node_id for node in graph.nodes for s in node.slot_variables}}
    with cp.load_checkpoint(PREFIX) as reader:
        objects = [
            cp.Variable(np.zeros(reader.shape(key), reader.dtype(key)))
            if node.attributes and (key := node.attributes[0].checkpoint_key)
            else cp.Optimizer() if node.slot_variables else cp.Checkpointable()
            for node in graph.nodes
        ]
    for parent, node in zip(objects, graph.nodes):
        for child in node.children:
            if not child.local_name.startswith(ALIASES):
                parent._track_checkpointable(objects[child.node_id], child.local_name)
    return objects[0]
"""


def read_all(prefix):
    with cp.load_checkpoint(prefix) as reader:
        return {key: np.asarray(reader.get_tensor(key)) for key in reader.keys()}


def test_chiron_is_given_objects_and_renamed(chiron_prefix, tmp_path):
    copy, renamed = tmp_path / "runs" / "ckpt-1", tmp_path / "runs" / "ckpt-2"
    assert output("reencode", chiron_prefix, copy) == f"{copy}: 167 values as objects\n"
    result = call("diff", chiron_prefix, copy)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith(": 167 equal\n")

    first = document("ls", chiron_prefix)["values"][0]["key"].partition("/")[0]
    names = {value["key"].partition("/")[0] for value in document("ls", chiron_prefix)["values"]}
    text = output("rename", copy, renamed, f"{first}=net/first")
    assert " of 168 values under other keys" in text
    assert output("verify", renamed).startswith("OK: 168 values")
    result = call("diff", copy, renamed)
    assert result.exit_code == 1
    assert f"likely renamed: renames={{'{first}': 'net/first'}}" in result.stderr
    shown = output("show", renamed, "--depth", "1")
    assert "net" in shown
    assert f"── {first} " not in shown
    assert document("ls", renamed)["totals"]["values"] == 168

    old, new = read_all(chiron_prefix), read_all(renamed)
    assert {k.partition("/")[0] for k in new} == (names - {first}) | {
        *("net", "_CHECKPOINTABLE_OBJECT_GRAPH")
    }
    reader = tf.train.load_checkpoint(os.fspath(renamed))
    for name, value in old.items():
        start, _, rest = name.partition("/")
        path = f"net/first/{rest}" if start == first else name
        key = f"{path}/.ATTRIBUTES/VARIABLE_VALUE"
        assert new[key].tobytes() == value.tobytes() == reader.get_tensor(key).tobytes()


def test_names_of_chiron_are_renamed_as_they_are(chiron_prefix, tmp_path):
    names = sorted(read_all(chiron_prefix))
    first = names[0].partition("/")[0]
    output("rename", chiron_prefix, tmp_path / "b", f"{first}=other/{first}")
    renamed = tf.train.load_checkpoint(os.fspath(tmp_path / "b")).get_variable_to_shape_map()
    assert sorted(renamed) == sorted(
        f"other/{name}" if name.split("/")[0] == first else name for name in names
    )


@pytest.fixture
def basic_pitch_module(basic_pitch_prefix, tmp_path, monkeypatch):
    def write(name, renames):
        text = PROGRAM.format(prefix=basic_pitch_prefix, renames=renames)
        (tmp_path / f"{name}.py").write_text(text)
        return f"{name}:make"

    monkeypatch.chdir(tmp_path)
    return write


def test_basic_pitch_is_explained_and_renamed(basic_pitch_prefix, basic_pitch_module, tmp_path):
    same = basic_pitch_module("basic_pitch_same", {})
    result = call("explain", basic_pitch_prefix, same)
    assert result.exit_code == 0
    assert ": 73 restored" in result.stdout.splitlines()[0]

    renames = {"layer_with_weights-*": "block-*", "optimizer": "training/adam"}
    other = basic_pitch_module("basic_pitch_other", renames)
    result = call("explain", basic_pitch_prefix, other, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["counts"]["restored"] < 73
    blocks = {f"layer_with_weights-{i}": f"block-{i}" for i in range(9)}
    assert found["renames"] == blocks | {"optimizer": "training/adam"}
    assert found["counts_with_renames"] == {"restored": 73}
    arguments = [f"{old}={new}" for old, new in renames.items()]
    tried = [part for argument in arguments for part in ("--rename", argument)]
    assert call("explain", basic_pitch_prefix, other, *tried).exit_code == 0

    output("rename", basic_pitch_prefix, tmp_path / "renamed", *arguments)
    assert output("verify", tmp_path / "renamed").startswith("OK: 74 values")
    assert call("explain", tmp_path / "renamed", other).exit_code == 0
    stored = [key for key, _ in tf.train.list_variables(os.fspath(tmp_path / "renamed"))]
    assert len(stored) == 74
    assert sum(key.startswith("block-") for key in stored) > 50
    assert sum("/.OPTIMIZER_SLOT/training/adam/" in key for key in stored) == 36
    assert not [key for key in stored if key.startswith(("layer_with_weights", "optimizer"))]
