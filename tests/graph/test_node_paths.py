"""The paths of nodes, asked for in any order, are those that a walk from the root gives."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from checkpointable.graph.object_graph import Child, Node, NodePaths, ObjectGraph
from checkpointable.graph.paths import join

names = st.sampled_from(["a", "b", "", "a/b", ".x"])


@st.composite
def graphs(draw):
    """Any edges, cycles and nodes that nothing reaches among them; some of them deep."""
    count = draw(st.integers(1, 12))
    nodes = []
    for node_id in range(count):
        children = draw(
            st.dictionaries(names, st.integers(0, count - 1) | st.just(node_id + 1), max_size=3)
        )
        nodes.append(Node([Child(to, name) for name, to in children.items() if to < count]))
    return ObjectGraph(nodes)


def plain(graph):
    """node -> segments of the first path, breadth-first."""
    found, queue = {0: ()}, deque([0])
    while queue:
        node_id = queue.popleft()
        for child, name in graph.nodes[node_id].children:
            if child not in found:
                found[child] = (*found[node_id], name)
                queue.append(child)
    return found


def text(segments):
    first, *others = (join("", segment) for segment in segments) if segments else ("",)
    return "/".join([first, *others])


@given(graphs(), st.data())
def test_paths(graph, data):
    paths, wanted = NodePaths(graph), plain(graph)
    asked = st.lists(st.integers(0, len(graph.nodes) - 1), max_size=30)
    for node_id in data.draw(asked | st.just(range(len(graph.nodes)))):
        if node_id in wanted:
            assert paths[node_id] == text(wanted[node_id])
        else:
            assert paths[node_id] == f"(node {node_id})"
