"""Renames of a checkpoint's graph: which edges move, and where to."""

from __future__ import annotations

import pytest

from checkpointable.graph.object_graph import (
    Attribute,
    Child,
    Node,
    NodePaths,
    ObjectGraph,
    SlotVariable,
)
from checkpointable.graph.renames import rename_graph


def tree(*paths):
    """A graph with a value at each of these paths."""
    graph = ObjectGraph([Node([])])
    ids = {"": 0}
    for path in paths:
        above = ""
        for name in path.split("/"):
            here = f"{above}/{name}" if above else name
            if here not in ids:
                ids[here] = len(graph.nodes)
                graph.nodes[ids[above]].children.append(Child(ids[here], name))
                graph.nodes.append(Node([]))
            above = here
        graph.nodes[ids[path]].attributes = [Attribute("VALUE", "", f"{path}/.ATTRIBUTES/VALUE")]
    return graph


def moved(graph, renames):
    """old path -> new path of every value, where they differ."""
    before, after = NodePaths(graph), NodePaths(rename_graph(graph, renames))
    return {
        before[i]: after[i]
        for i, node in enumerate(graph.nodes)
        if node.attributes and before[i] != after[i]
    }


@pytest.mark.parametrize(
    ("paths", "renames", "expected"),
    [
        pytest.param(["a/x", "b"], {"a": "c"}, {"a/x": "c/x"}, id="renamed, with what is in it"),
        pytest.param(["a", "b"], {"a": "b", "b": "a"}, {"a": "b", "b": "a"}, id="swap"),
        pytest.param(
            ["l/1", "l/2", "l/3"],
            {"l/2": "l/3", "l/3": "l/4"},
            {"l/2": "l/3", "l/3": "l/4"},
            id="shift",
        ),
        pytest.param(
            ["a/x", "a/y"], {"a": "b", "a/x": "c/z"}, {"a/x": "c/z", "a/y": "b/y"}, id="longest"
        ),
        pytest.param(
            ["a1", "a2"], {"a*": "b/*", "a2": "c"}, {"a1": "b/1", "a2": "c"}, id="fewest stars"
        ),
        pytest.param(["a/x"], {"a": "m/a"}, {"a/x": "m/a/x"}, id="under a wrapper"),
        pytest.param(["a/x"], {"a": "a/inner"}, {"a/x": "a/inner/x"}, id="into itself"),
        pytest.param(["m/a/x", "m/b"], {"m/a": "a"}, {"m/a/x": "a/x"}, id="out of a wrapper"),
        pytest.param(
            ["e/l/0/k", "e/l/1/k", "d/l/0/k"],
            {"*/l/*/k": "*/w/*"},
            {"e/l/0/k": "e/w/0", "e/l/1/k": "e/w/1", "d/l/0/k": "d/w/0"},
            id="several stars",
        ),
        pytest.param(["x1y2", "x3"], {"x*y*": "*-*"}, {"x1y2": "1-2"}, id="two in a segment"),
        pytest.param(["a/x"], {"*/x": "y"}, {"a/x": "y"}, id="a star that is dropped"),
        pytest.param(["a/x"], {"/a/": "b/"}, {"a/x": "b/x"}, id="slashes at the ends"),
        pytest.param(["a"], {"a": "a"}, {}, id="to itself"),
        pytest.param(["a"], {}, {}, id="none"),
        pytest.param(["a/x", "b/y"], {"a/x": "b/x"}, {"a/x": "b/x"}, id="into another"),
        pytest.param(
            ["a/x", "b/y"],
            {"a": "b", "b": "a", "a/x": "a/z"},
            {"a/x": "a/z", "b/y": "a/y"},
            id="into what another brings",
        ),
    ],
)
def test_paths_move(paths, renames, expected):
    assert moved(tree(*paths), renames) == expected


def test_the_graph_given_stays_as_it_is():
    graph, same = tree("a/x", "b"), tree("a/x", "b")
    renamed = rename_graph(graph, {"a": "c/d"})
    assert graph == same
    assert len(renamed.nodes) == len(graph.nodes) + 1
    assert [node.attributes for node in renamed.nodes[: len(graph.nodes)]] == [
        node.attributes for node in graph.nodes
    ]


def test_edges_keep_their_order():
    """By which the objects are named, and shown."""
    graph = tree("a", "b", "c", "d")
    renamed = rename_graph(graph, {"b": "x", "c": "b", "d": "y/d"})
    assert [child.local_name for child in renamed.nodes[0].children] == ["a", "x", "b", "y"]


def test_names_are_escaped_as_paths_are():
    graph = ObjectGraph([Node([Child(1, "a/b.c")]), Node()])
    renamed = rename_graph(graph, {"a.Sb..c": "x.Sy"})
    assert renamed.nodes[0].children == [Child(1, "x/y")]
    renamed = rename_graph(graph, {"a.S*": "*"})
    assert renamed.nodes[0].children == [Child(1, "b.c")]


def test_a_shared_object_moves_by_one_of_its_paths():
    graph = ObjectGraph([Node([Child(1, "a"), Child(1, "b")]), Node([Child(2, "x")]), Node()])
    renamed = rename_graph(graph, {"a": "c"})
    assert sorted(renamed.nodes[0].children) == [Child(1, "b"), Child(1, "c")]
    renamed = rename_graph(graph, {"a/x": "a/y"})  # the same edge by either path
    assert renamed.nodes[1].children == [Child(2, "y")]
    # Two names of one object may become one.
    assert rename_graph(graph, {"a": "b"}).nodes[0].children == [Child(1, "b")]


def test_a_cycle():
    graph = ObjectGraph([Node([Child(1, "a")]), Node([Child(0, "owner"), Child(1, "me")])])
    renamed = rename_graph(graph, {"a/me": "b/self", "a/owner": "b/root", "a": "b"})
    assert renamed.nodes[0].children == [Child(1, "b")]
    assert renamed.nodes[1].children == [Child(0, "root"), Child(1, "self")]
    deep = rename_graph(graph, {"a/me/me/me": "a/self"})
    assert Child(1, "self") in deep.nodes[1].children


def test_slots_follow_their_variable_and_their_optimizer():
    graph = ObjectGraph(
        [
            Node([Child(1, "model"), Child(3, "opt")]),
            Node([Child(2, "kernel")]),
            Node(),
            Node(slot_variables=[SlotVariable(2, "m", 4)]),
            Node(),
        ]
    )
    assert NodePaths(graph)[4] == "model/kernel/.OPTIMIZER_SLOT/opt/m"
    renamed = rename_graph(graph, {"model/kernel": "net/weights", "opt": "train/adam"})
    assert NodePaths(renamed)[4] == "net/weights/.OPTIMIZER_SLOT/train/adam/m"


@pytest.mark.parametrize(
    ("renames", "message"),
    [
        ({"a": "b"}, r"'a' -> 'b': b is taken by another object .* rename that one too"),
        ({"a/x": "b/y"}, "b/y is taken"),
        ({"c*": "d"}, "d is taken"),  # both to one
        ({"nothing": "x"}, "rename 'nothing' matches nothing in the checkpoint$"),
        ({"c1": "x", "c3": "y"}, "'c3' matches nothing .*; similar ones: c[12], c[12]"),
        ({"a/x/z": "b"}, "matches nothing"),
        ({"*/*/*": "b"}, "matches nothing"),
        ({"a": "*"}, r"more '\*' than the source"),
        ({"": "x"}, "empty"),
        ({"a": ""}, "program's path '' is empty"),
        ({"a//x": "b"}, "empty segment"),
        ({"a": "b.c"}, "must be followed by"),
        ({"a/.OPTIMIZER_SLOT/o/m": "b"}, "must be followed by"),
    ],
)
def test_what_is_wrong_is_said(renames, message):
    with pytest.raises(ValueError, match=message):
        rename_graph(tree("a/x", "b/y", "c1", "c2"), renames)


def test_whether_values_hang_below_is_kept_right():
    graph = tree("a/x", "b/y")
    graph.mark_nodes_with_values()
    renamed = rename_graph(graph, {"a/x": "c/x"})
    values = {NodePaths(renamed)[i]: n.has_checkpoint_values for i, n in enumerate(renamed.nodes)}
    assert values == {"": True, "a": False, "c/x": True, "b": True, "b/y": True, "c": True}
    old = rename_graph(tree("a/x"), {"a/x": "c/x"})  # its writer did not say: nor do we
    assert {node.has_checkpoint_values for node in old.nodes} == {None}
