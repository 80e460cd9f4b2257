"""The walk, the keys of values, the object graph, and that the files are determined by them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.graph.paths import escape, split, unescape
from tests.semantics.helpers import Counter, Module, edges, keys, save, variable

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


# S9
def test_the_walk_is_breadth_first_in_the_order_of_tracking(tmp_path):
    root = Module(b=Module(x=Module(v=variable())), a=Module(v=variable()))
    assert edges(save(root, tmp_path / "c")) == [
        *((0, "b", 1), (0, "a", 2), (1, "x", 3), (2, "v", 4), (3, "v", 5)),
    ]


# S9
def test_a_node_is_named_by_the_first_path_and_every_path_is_an_edge(tmp_path):
    shared = Module(v=variable())
    root = Module(long=Module(inner=shared), short=shared, also=shared)
    path = save(root, tmp_path / "c")
    assert keys(path) == ["short/v"]
    assert edges(path) == [
        *((0, "long", 1), (0, "short", 2), (0, "also", 2), (1, "inner", 2), (2, "v", 3)),
    ]


# S9
def test_cycles_are_normal(tmp_path):
    root = Module(v=variable(1))
    root.me, root.child = root, Module(parent=root)
    root.child.child = root.child
    path = save(root, tmp_path / "c")
    assert edges(path) == [
        *((0, "v", 1), (0, "me", 0), (0, "child", 2), (2, "parent", 0), (2, "child", 2)),
    ]
    root.v.assign(0)
    cp.CheckpointableSaver(root).restore(path).assert_consumed()
    assert float(root.v) == 1


# S9
def test_a_long_chain_and_a_wide_object(tmp_path):
    root = node = Module()
    for _ in range(5_000):
        node.n = Module()
        node = node.n
    node.v = variable(1)
    for number in range(5_000):
        setattr(root, f"w{number}", Module())
    path = save(root, tmp_path / "c")
    assert len(cp.object_metadata(path).nodes) == 10_002
    assert keys(path) == ["/".join(["n"] * 5_000 + ["v"])]
    node.v.assign(0)
    cp.CheckpointableSaver(root).restore(path).assert_consumed()
    assert float(node.v) == 1


SEGMENTS = {
    "a/b/c": "a.Sb.Sc",
    "d/.S": "d.S..S",
    ".ATTRIBUTES": "..ATTRIBUTES",
    ".": "..",
    "/": ".S",
    "..": "....",
    ".S": "..S",
    "./": "...S",
    "plain": "plain",
    "": "",
    "ünï \n": "ünï \n",
}


# S10
@pytest.mark.parametrize("name", SEGMENTS, ids=repr)
def test_segments_are_escaped(tmp_path, name):
    segment = SEGMENTS[name]
    assert escape(name) == segment
    assert unescape(segment) == name
    root = Module()
    setattr(root, name, Module(v=variable()))
    path = save(root, tmp_path / "c")
    assert cp.list_variables(path) == sorted(
        [(GRAPH_KEY, ()), (f"{segment}/v/.ATTRIBUTES/VARIABLE_VALUE", ())]
    )
    assert split(f"{segment}/v") == [name, "v"]


# S10
def test_names_of_other_letters_cannot_collide(tmp_path):
    root = Module()
    names = ["a/b", "a.b", "a.Sb", "a..b", "a", "b", "0", "00", ""]
    for number, name in enumerate(names):
        setattr(root, name, variable(number))
    root.a = Module(b=variable(100))
    path = save(root, tmp_path / "c")
    for name in names:
        if name != "a":
            getattr(root, name).assign(-1)
    root.a.b.assign(-1)
    cp.CheckpointableSaver(root).restore(path).assert_consumed()
    assert float(root.a.b) == 100
    assert [float(getattr(root, name)) for name in names if name != "a"] == [
        number for number, name in enumerate(names) if name != "a"
    ]


# S10
def test_messages_write_paths_in_the_same_notation(tmp_path):
    root = Module()
    setattr(root, "a/b", Module(**{"c.d": variable()}))
    path = save(root, tmp_path / "c")
    with pytest.raises(AssertionError, match=r": a\.Sb/c\.\.d \("):
        cp.CheckpointableSaver(Module(other=variable())).restore(path).allow_missing(
            "other"
        ).assert_consumed()
    setattr(root, "a/b", Module(**{"c.d": cp.Variable([1.0, 2.0])}))
    with pytest.raises(cp.CheckpointMismatchError, match=r"a\.Sb/c\.\.d: "):
        cp.CheckpointableSaver(root).restore(path)


# S10
def test_a_name_that_is_no_unicode_is_refused(tmp_path):
    root = Module()
    setattr(root, "\ud800", variable())
    with pytest.raises(cp.CheckpointUnsupportedError, match="cannot be stored as UTF-8"):
        save(root, tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


# S12
def test_the_object_graph_is_what_the_objects_are(tmp_path):
    root = Module(opt=cp.Optimizer(), net=Module(w=cp.Variable(1.0, name="scope/w")), n=Counter(3))
    root.opt.add_slot(root.net.w, "m/1", 0.0)
    graph = cp.object_metadata(save(root, tmp_path / "c"))
    nodes = graph.nodes
    assert [(c.node_id, c.local_name) for c in nodes[0].children] == [
        *((1, "opt"), (2, "net"), (3, "n")),
    ]
    assert nodes[3].attributes == [("py_state", "", "n/.ATTRIBUTES/py_state")]
    (attribute,) = nodes[4].attributes
    assert attribute.name == "VARIABLE_VALUE"
    assert attribute.full_name == "scope/w"
    assert attribute.checkpoint_key == "net/w/.ATTRIBUTES/VARIABLE_VALUE"
    assert nodes[1].slot_variables == [(4, "m/1", 5)]
    key = "net/w/.OPTIMIZER_SLOT/opt/m.S1/.ATTRIBUTES/VARIABLE_VALUE"
    assert nodes[5].attributes[0].checkpoint_key == key
    assert [node.has_checkpoint_values for node in nodes] == [True] * 6
    empty = cp.object_metadata(save(Module(a=Module()), tmp_path / "d"))
    assert [node.has_checkpoint_values for node in empty.nodes] == [False, False]


def digests(directory):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(directory).iterdir()
        if path.name != "checkpoint"
    }


def program(scale):
    root = Module(
        big=cp.Variable(np.arange(300_000, dtype=np.float32) * scale),
        items=[cp.Variable(["a", "bb"]), {"x": variable(scale)}],
        count=Counter(5),
        opt=cp.Optimizer(),
    )
    root.opt.add_slot(root.big, "m", np.zeros(3))
    root.opt.add_slot(root.items[0], "a", 1.0)
    return root


# S13
def test_the_same_values_give_the_same_bytes(tmp_path):
    for name, scale in (("a", 1), ("b", 1), ("c", 2)):
        save(program(scale), tmp_path / name / "ckpt", 1)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    a, c = digests(tmp_path / "a"), digests(tmp_path / "c")
    assert a.keys() == c.keys()
    assert a != c
    with cp.load_checkpoint(tmp_path / "a") as first, cp.load_checkpoint(tmp_path / "c") as second:
        differ = [
            key
            for key in first.keys()
            if np.asarray(first.get_tensor(key)).tolist()
            != np.asarray(second.get_tensor(key)).tolist()
        ]
    assert differ == [
        *("big/.ATTRIBUTES/VARIABLE_VALUE", "items/1/x/.ATTRIBUTES/VARIABLE_VALUE"),
    ]


# S13
def test_saving_again_gives_the_same_bytes(tmp_path):
    root = program(1)
    save(root, tmp_path / "a" / "ckpt")
    first = digests(tmp_path / "a")
    other = program(3)
    cp.CheckpointableSaver(other).restore(str(tmp_path / "a" / "ckpt")).assert_consumed()
    save(other, tmp_path / "b" / "ckpt")
    assert digests(tmp_path / "b") == first
