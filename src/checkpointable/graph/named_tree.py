"""Builds an object graph from names, for checkpoints without one."""

from __future__ import annotations

from collections.abc import Iterable

from checkpointable.graph.object_graph import Child, Node, ObjectGraph

__all__ = ["NamedTree"]


class NamedTree:
    """An object graph that grows: objects are added when first named.

    Attributes:
      graph: the graph, which begins with a root.
    """

    def __init__(self) -> None:
        self._children: list[list[Child]] = [[]]
        self.graph = ObjectGraph([Node(self._children[0])])
        # (node, local name below it) -> node. Whole paths as keys could take too much memory.
        self._ids: dict[tuple[int, str], int] = {}

    def node_at(self, local_names: Iterable[str]) -> int:
        """Returns the node to which these names lead from the root, and adds it if it is new."""
        node_id = 0
        for name in local_names:
            edge = (node_id, name)
            below = self._ids.get(edge)
            if below is None:
                below = self._ids[edge] = len(self.graph.nodes)
                self._children[node_id].append(Child(below, name))
                self._children.append([])
                self.graph.nodes.append(Node(self._children[below]))
            node_id = below
        return node_id
