"""The paths of all nodes at once: those of `NodePaths`, shortened where they would be too many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.graph.object_graph import Child, Node, NodePaths, ObjectGraph, SlotVariable
from checkpointable.graph.shown_paths import ShownPaths
from tests.graph.test_node_paths import graphs

LENGTH = 20_000


def chain(name, length=LENGTH):
    nodes = [Node([Child(i + 1, name)]) for i in range(length - 1)]
    return [*nodes, Node()]


@given(graphs(), st.data())
def test_what_is_not_too_much_is_whole(graph, data):
    for node in graph.nodes:
        if data.draw(st.booleans()):
            numbers = st.integers(0, len(graph.nodes) - 1)
            slots = st.builds(SlotVariable, numbers, st.sampled_from(["m", "a/b"]), numbers)
            node.slot_variables = data.draw(st.lists(slots, max_size=2))
    plain, shown = NodePaths(graph), ShownPaths(graph)
    for node_id in range(len(graph.nodes)):
        assert shown[node_id] == plain[node_id]


@pytest.mark.parametrize("name", ["n", "x/" * 25])
def test_a_chain_of_which_all_paths_are_its_square(name):
    graph = ObjectGraph(chain(name))
    shown, plain = ShownPaths(graph), NodePaths(graph)
    paths = [shown[node_id] for node_id in range(LENGTH)]
    assert len(set(paths)) == LENGTH
    assert sum(map(len, paths)) < (9 << 20) + LENGTH * (8 * len(name) + 300)
    assert all(paths[i] == plain[i] for i in range(3))
    last = paths[-1]
    assert last.startswith("…/")
    assert last.endswith(f" (node {LENGTH - 1})")
    tail = last.removeprefix("…/").removesuffix(f" (node {LENGTH - 1})")
    assert plain[LENGTH - 1].endswith("/" + tail)


def test_slots_of_a_deep_variable():
    nodes = chain("n")
    count = 2000
    nodes[0].children = [*nodes[0].children, Child(LENGTH, "opt")]
    slots = [SlotVariable(LENGTH - 1, f"s{i}", LENGTH + 1 + i) for i in range(count)]
    nodes += [Node(slot_variables=slots), *(Node() for _ in range(count))]
    shown = ShownPaths(ObjectGraph(nodes))
    paths = [shown[LENGTH + 1 + i] for i in range(count)]
    assert paths[0].endswith("n/.OPTIMIZER_SLOT/opt/s0")
    assert paths[-1] == f"…/.OPTIMIZER_SLOT/…/s{count - 1} (node {LENGTH + count})"
    assert len(set(paths)) == count
    assert sum(map(len, paths)) < 10 << 20
