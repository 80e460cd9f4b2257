"""The object graph as a tree: each object once, below its parent on the path that names it.

The edges of the tree are those by which a breadth-first walk first reaches each object (S9).
Other edges are references. A slot, to which no edge leads, is a child of its variable (S11).
Nothing here recurses, because a graph may be 10,000 objects deep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from checkpointable.graph.named_tree import NamedTree
from checkpointable.graph.object_graph import (
    Attribute,
    ObjectGraph,
    SlotVariable,
)
from checkpointable.graph.paths import VARIABLE_VALUE, follow, split
from checkpointable.graph.shown_paths import ShownPaths
from checkpointable.readers.reader import StoredValue

__all__ = ["Branch", "ObjectTree", "find_object", "graph_of_names"]

_UNREACHED = -1
# In names with more separators than this, the rest is one segment.
_DEEPEST_NAME = 1000


class Branch(NamedTuple):
    """An edge from an object to a dependency, or from a variable to a slot.

    Attributes:
      name: The local name, or the name of the slot.
      node_id: The dependency or slot.
      optimizer_id: The optimizer of a slot; else None.
      is_reference: Whether the object is elsewhere in the tree.
    """

    name: str
    node_id: int
    optimizer_id: int | None
    is_reference: bool


class ObjectTree:
    """A tree over the graph of one checkpoint.

    Args:
      graph: The object graph.
      lookup: Returns the value of a key; None if the index does not contain it.
      named: Whether `graph_of_names` made the graph.

    Attributes:
      order: The nodes of the tree, each after its parent.
      value_counts: For each node, the number of values of it and the objects below it.
      byte_counts: For each node, the bytes of these values.
      with_values: Set it to hide objects without values below them.
    """

    def __init__(
        self, graph: ObjectGraph, lookup: Callable[[str], StoredValue | None], *, named: bool
    ) -> None:
        self.graph = graph
        self.lookup = lookup
        self.named = named
        self.with_values = False
        self._parents = [_UNREACHED] * len(graph.nodes)
        self._names = [""] * len(graph.nodes)
        # variable -> [(optimizer, slot)]
        self._slots: dict[int, list[tuple[int, SlotVariable]]] = {}
        for optimizer_id, node in enumerate(graph.nodes):
            for slot in node.slot_variables:
                of_variable = self._slots.setdefault(slot.original_variable_node_id, [])
                of_variable.append((optimizer_id, slot))
        self.order = self._reach()
        self.value_counts = [0] * len(graph.nodes)
        self.byte_counts = [0] * len(graph.nodes)
        self._sum_up()
        self._paths: ShownPaths | None = None

    def _reach(self) -> list[int]:
        """Sets parents and names; returns the nodes in the order in which they are reached."""
        nodes, parents = self.graph.nodes, self._parents
        parents[0] = 0
        order = [0]
        # The nodes of `order` whose edges, and whose slots, were followed; edges come first.
        followed = slotted = 0
        while slotted < len(order):
            if followed < len(order):
                node_id = order[followed]
                followed += 1
                branches = [(child.node_id, child.local_name) for child in nodes[node_id].children]
            else:
                node_id = order[slotted]
                slotted += 1
                branches = [
                    (slot.slot_variable_node_id, slot.slot_name)
                    for _, slot in self._slots.get(node_id, ())
                ]
            for target, name in branches:
                if parents[target] == _UNREACHED:
                    parents[target] = node_id
                    self._names[target] = name
                    order.append(target)
        return order

    def _sum_up(self) -> None:
        lookup = self.lookup
        for node_id, node in enumerate(self.graph.nodes):
            for attribute in node.attributes:
                value = lookup(attribute.checkpoint_key)
                if value is not None:
                    self.value_counts[node_id] += 1
                    self.byte_counts[node_id] += value.nbytes
        for node_id in reversed(self.order[1:]):
            parent = self._parents[node_id]
            self.value_counts[parent] += self.value_counts[node_id]
            self.byte_counts[parent] += self.byte_counts[node_id]

    def branches(self, node_id: int) -> list[Branch]:
        """Returns the dependencies of an object in the order of the graph, then its slots."""
        branches: list[Branch] = []
        seen: set[int] = set()

        def add(target: int, name: str, optimizer_id: int | None) -> None:
            if self.with_values and not self.value_counts[target]:
                return
            is_child = (
                self._parents[target] == node_id
                and self._names[target] == name
                and target not in seen
                and target != 0
            )
            seen.add(target)
            branches.append(Branch(name, target, optimizer_id, not is_child))

        for child in self.graph.nodes[node_id].children:
            add(child.node_id, child.local_name, None)
        for optimizer_id, slot in self._slots.get(node_id, ()):
            add(slot.slot_variable_node_id, slot.slot_name, optimizer_id)
        return branches

    def parent(self, node_id: int) -> int | None:
        """Returns the parent of a node; None for the root and for unreachable nodes."""
        parent = self._parents[node_id]
        return None if not node_id or parent == _UNREACHED else parent

    def name(self, node_id: int) -> str:
        """Returns the local name of a node, or the name of a slot; "" for the root."""
        return self._names[node_id]

    def path(self, node_id: int) -> str:
        """Returns the path of an object in the notation of S10, or the name for `named`."""
        if not self.named:
            if self._paths is None:
                self._paths = ShownPaths(self.graph)
            return self._paths[node_id]
        segments = []
        while node_id:
            segments.append(self._names[node_id])
            node_id = self._parents[node_id]
        return "/".join(reversed(segments))

    def below(self, node_id: int, depth: int | None = None) -> Iterator[tuple[int, int]]:
        """Yields (node, level) of an object, at level 0, and of the objects below it.

        Args:
          node_id: The object.
          depth: The deepest level; None: all.
        """
        stack = [(node_id, 0)]
        while stack:
            node_id, level = stack.pop()
            yield node_id, level
            if depth is None or level < depth:
                stack.extend(
                    (branch.node_id, level + 1)
                    for branch in reversed(self.branches(node_id))
                    if not branch.is_reference
                )

    def totals(self, node_id: int) -> tuple[int, int]:
        """Returns (number of values, bytes) of an object and the objects below it.

        The totals of the root include unreachable objects.
        """
        ids = [node_id, *(() if node_id else self.unreached())]
        return sum(self.value_counts[i] for i in ids), sum(self.byte_counts[i] for i in ids)

    def unreached(self) -> list[int]:
        """Returns the objects that cannot be reached from the root."""
        return [i for i, parent in enumerate(self._parents) if parent == _UNREACHED]


def find_object(graph: ObjectGraph, path: str, *, named: bool) -> int | None:
    """Returns the object at a path, along any edges; None if there is none."""
    try:
        names = path.split("/", _DEEPEST_NAME) if named else split(path)
    except ValueError:
        return None
    return follow(names if path else (), lambda node_id: graph.nodes[node_id].children)


def graph_of_names(keys: list[str]) -> ObjectGraph:
    """Returns a graph for a name-based checkpoint: the tree of its names, split at "/"."""
    tree = NamedTree()
    for key in keys:
        node = tree.graph.nodes[tree.node_at(key.split("/", _DEEPEST_NAME))]
        node.attributes = (Attribute(VARIABLE_VALUE, "", key),)
    return tree.graph
