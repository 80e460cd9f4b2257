"""The object graph of a checkpoint as plain data, with the field names of the message.

`message.py` describes the message, docs/semantics.md (S9-S12) the meaning.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.graph.paths import escape, path_of_key, slot_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Attribute", "Child", "Node", "NodePaths", "ObjectGraph", "SlotVariable"]


class Child(NamedTuple):
    """A dependency: an edge to another node under a local name."""

    node_id: int
    local_name: str


class Attribute(NamedTuple):
    """A value of a node: its name, the global name of the object ("" if none), its key."""

    name: str
    full_name: str
    checkpoint_key: str


class SlotVariable(NamedTuple):
    """An entry on an optimizer's node: the node of a variable, and the node of its slot."""

    original_variable_node_id: int
    slot_name: str
    slot_variable_node_id: int


@dataclass(slots=True)
class Node:
    """One object.

    Attributes:
      children: its dependencies.
      attributes: its values.
      slot_variables: the slots of an optimizer.
      registered_saver: (name, object name) of a TensorFlow registered saver, or None.
      has_checkpoint_values: whether it, or an object below it, has values; None if the writer
        is too old to store it.
    """

    children: Sequence[Child] = ()
    attributes: Sequence[Attribute] = ()
    slot_variables: Sequence[SlotVariable] = ()
    registered_saver: tuple[str, str] | None = None
    has_checkpoint_values: bool | None = None

    @property
    def may_have_values(self) -> bool:
        """False only if the checkpoint states that neither it nor an object below has a value."""
        if self.has_checkpoint_values is not None:
            return self.has_checkpoint_values
        return bool(self.children or self.attributes or self.slot_variables)


@dataclass(slots=True)
class ObjectGraph:
    """All nodes. `nodes[0]` is the root, and edges refer to nodes by their index."""

    nodes: list[Node] = field(default_factory=list)

    def mark_nodes_with_values(self, also: Iterable[int] = ()) -> None:
        """Sets `has_checkpoint_values` on every node.

        Args:
          also: nodes that count as having values.
        """
        parents: dict[int, list[int]] = {}
        queue: list[int] = []
        nodes = self.nodes
        for node_id, node in enumerate(nodes):
            for child_id, _ in node.children:
                parents.setdefault(child_id, []).append(node_id)
            has_values = bool(node.attributes or node.slot_variables or node.registered_saver)
            node.has_checkpoint_values = has_values
            if has_values:
                queue.append(node_id)
        for node_id in also:
            nodes[node_id].has_checkpoint_values = True
            queue.append(node_id)
        while queue:
            for parent in parents.get(queue.pop(), ()):
                if not nodes[parent].has_checkpoint_values:
                    nodes[parent].has_checkpoint_values = True
                    queue.append(parent)


class NodePaths:
    """The paths of the nodes of a graph, in the notation of S10: `paths[node_id]`.

    A node has the first path that reaches it breadth-first. A slot variable, which no path
    reaches, is named by its variable, its optimizer and the slot (S11).
    """

    def __init__(self, graph: ObjectGraph) -> None:
        self._graph = graph
        self._edges = _first_edges(graph)
        self._slots: dict[int, tuple[int, SlotVariable]] = {}
        for optimizer_id, node in enumerate(graph.nodes):
            for slot in node.slot_variables:
                self._slots.setdefault(slot.slot_variable_node_id, (optimizer_id, slot))
        # The last path, often that of the next node's parent. All paths of a deep graph together
        # may be large, so no others are kept.
        self._last = 0, ""

    def __getitem__(self, node_id: int) -> str:
        if node_id and self._edges[node_id] is None:
            return self._unreached(node_id)
        last_id, last = self._last
        segments: list[str] = []
        above = node_id
        while above and above != last_id:
            edge = self._edges[above]
            assert edge is not None, "the nodes above a reached node are reached"
            above = edge[0]
            segments.append(escape(edge[1]))
        if above:
            segments.append(last)
        path = "/".join(reversed(segments))
        self._last = node_id, path
        return path

    def _unreached(self, node_id: int) -> str:
        optimizer_id, slot = self._slots.get(node_id, (0, None))
        if slot is not None:
            variable_id = slot.original_variable_node_id
            # A slot of a slot, or of an optimizer that is a slot, is named by its key, because the
            # paths of both may refer to each other.
            ids = (variable_id, optimizer_id)
            if all(not node or self._edges[node] is not None for node in ids):
                return slot_path(self[variable_id], self[optimizer_id], slot.slot_name)
        for attribute in self._graph.nodes[node_id].attributes:
            return path_of_key(attribute.checkpoint_key)
        return f"(node {node_id})"


def _first_edges(graph: ObjectGraph) -> list[tuple[int, str] | None]:
    """Returns for each node the edge, (parent, name), by which a breadth-first walk reaches it.

    None for the root, slot variables and unreachable nodes.
    """
    edges: list[tuple[int, str] | None] = [None] * len(graph.nodes)
    seen = bytearray(len(graph.nodes))
    seen[:1] = b"\x01"
    queue = deque([0] if graph.nodes else [])
    while queue:
        parent = queue.popleft()
        for node_id, local_name in graph.nodes[parent].children:
            if not seen[node_id]:
                seen[node_id] = 1
                edges[node_id] = (parent, local_name)
                queue.append(node_id)
    return edges
