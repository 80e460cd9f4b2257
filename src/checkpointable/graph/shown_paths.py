"""Paths of all nodes of a graph, in memory proportional to the graph.

The paths of a chain of nodes are together as large as the square of its length: a file of a
megabyte can have ten gigabytes of them. Code that lists every value uses these paths. When long
ones exceed a limit, further ones are shortened and have the number of the node.
"""

from __future__ import annotations

from checkpointable.graph.object_graph import NodePaths, ObjectGraph
from checkpointable.graph.paths import escape

__all__ = ["ShownPaths"]

_SHORT = 200  # characters; a path up to this length is never shortened
_ROOM = 8 << 20  # characters of longer paths, in any graph
_ROOM_PER_CHARACTER = 4  # further characters, per character of the local names
_TAIL = 100  # characters of a shortened path


class ShownPaths(NodePaths):
    """The paths of `NodePaths`, except that long ones are shortened beyond a limit.

    A shortened path is `…/SEGMENT/… (node NUMBER)`, which is unique, and not the path of an object.
    """

    def __init__(self, graph: ObjectGraph) -> None:
        super().__init__(graph)
        self._sizes: dict[int, int] = {0: 0}
        names = sum(len(edge[1]) for edge in self._edges if edge is not None)
        self._left = _ROOM + _ROOM_PER_CHARACTER * names

    def __getitem__(self, node_id: int) -> str:
        size = self._size(node_id)
        if size > _SHORT:
            if size > self._left:
                return self._shortened(node_id)
            self._left -= size
        return super().__getitem__(node_id)

    def _size(self, node_id: int) -> int:
        """Returns the number of characters of a path, without building it."""
        slot = None if self._edges[node_id] is not None else self._slots.get(node_id)
        if node_id and slot is not None:
            optimizer_id, named = slot
            ids = (named.original_variable_node_id, optimizer_id)
            return sum(map(self._size_of_reached, ids)) + len(named.slot_name)
        return self._size_of_reached(node_id)

    def _size_of_reached(self, node_id: int) -> int:
        sizes, climbed = self._sizes, []
        while node_id not in sizes:
            edge = self._edges[node_id]
            if edge is None:  # an unreachable node, named by its number or key
                sizes[node_id] = 0
                break
            climbed.append(node_id)
            node_id = edge[0]
        size = sizes[node_id]
        for below in reversed(climbed):
            edge = self._edges[below]
            assert edge is not None  # it was climbed
            size += len(edge[1]) + 1
            sizes[below] = size
        return size

    def _shortened(self, node_id: int) -> str:
        edge = self._edges[node_id]
        if edge is None:
            _, slot = self._slots[node_id]
            return f"…/.OPTIMIZER_SLOT/…/{escape(slot.slot_name)} (node {node_id})"
        segments = [escape(edge[1])]
        left = _TAIL - len(segments[0])
        above = self._edges[edge[0]]
        while above is not None and len(above[1]) < left:
            segments.append(escape(above[1]))
            left -= len(above[1]) + 1
            above = self._edges[above[0]]
        return f"…/{'/'.join(reversed(segments))} (node {node_id})"
