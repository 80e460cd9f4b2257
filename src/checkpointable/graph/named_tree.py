"""A tree of objects made of names, for checkpoints that had no object graph."""

from __future__ import annotations

from collections.abc import Iterable

from checkpointable.graph.object_graph import Child, Node, ObjectGraph
from checkpointable.graph.paths import escape

__all__ = ["NamedTree", "path_of"]


class NamedTree:
    """An object graph whose objects are made as they are first named.

    Attributes:
      graph: with a root that is there from the beginning.
    """

    def __init__(self) -> None:
        self._children: list[list[Child]] = [[]]
        self.graph = ObjectGraph([Node(self._children[0])])
        # By the node above and the name below it: all paths together may be large.
        self._ids: dict[tuple[int, str], int] = {}

    def node_at(self, local_names: Iterable[str]) -> int:
        """The number of the object to which these names lead from the root."""
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


def path_of(local_names: Iterable[str]) -> str:
    """The path to which these names lead from the root."""
    return "/".join(map(escape, local_names))
