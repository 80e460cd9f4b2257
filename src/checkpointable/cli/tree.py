"""The object graph as a tree: each object once, under the first path that reaches it.

The tree is the one that names the objects (S9): the edges by which a breadth-first walk
first reaches them. Other edges are references. A slot variable, which no edge leads to,
hangs under the variable that it belongs to (S11). Nothing here recurses: a graph may be
10,000 objects deep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from checkpointable.cli.opening import Stored
from checkpointable.graph.named_tree import NamedTree
from checkpointable.graph.object_graph import (
    Attribute,
    ObjectGraph,
    SlotVariable,
)
from checkpointable.graph.paths import VARIABLE_VALUE, follow, split
from checkpointable.graph.shown_paths import ShownPaths

__all__ = ["Branch", "ObjectTree", "find_object", "graph_of_names"]

_UNREACHED = -1
# Names with more separators than this keep the rest in one segment.
_DEEPEST_NAME = 1000


class Branch(NamedTuple):
    """What hangs under an object.

    Attributes:
      name: the local name, or the slot's name.
      node_id: the object.
      optimizer_id: of a slot, the optimizer that it belongs to, else None.
      is_reference: whether the object is shown elsewhere in the tree.
    """

    name: str
    node_id: int
    optimizer_id: int | None
    is_reference: bool


class ObjectTree:
    """A tree over the graph of one checkpoint.

    Args:
      graph: the objects.
      lookup: the value under a key; None if the index has none.
      named: whether the graph was made of names by `graph_of_names`.

    Attributes:
      order: the nodes of the tree, each after the one that it hangs under.
      value_counts, byte_counts: node -> sums over it and all that hangs under it.
      with_values: set to leave out the branches that no value hangs under.
    """

    def __init__(
        self, graph: ObjectGraph, lookup: Callable[[str], Stored | None], *, named: bool
    ) -> None:
        self.graph = graph
        self.lookup = lookup
        self.named = named
        self.with_values = False
        self._parents = [_UNREACHED] * len(graph.nodes)
        self._names = [""] * len(graph.nodes)
        # variable -> (optimizer, slot), for each of its slots
        self._slots: dict[int, list[tuple[int, SlotVariable]]] = {}
        for optimizer_id, node in enumerate(graph.nodes):
            for slot in node.slot_variables:
                of_variable = self._slots.setdefault(slot.original_variable_node_id, [])
                of_variable.append((optimizer_id, slot))
        self.order = self._hang_up()
        self.value_counts = [0] * len(graph.nodes)
        self.byte_counts = [0] * len(graph.nodes)
        self._sum_up()
        self._paths: ShownPaths | None = None

    def _hang_up(self) -> list[int]:
        nodes, parents = self.graph.nodes, self._parents
        parents[0] = 0
        order = [0]
        followed = 0  # of `order`, those whose edges have been followed …
        slotted = 0  # … and those whose slots have been hung up: all edges go first
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
                    self.byte_counts[node_id] += value.size
        for node_id in reversed(self.order[1:]):
            parent = self._parents[node_id]
            self.value_counts[parent] += self.value_counts[node_id]
            self.byte_counts[parent] += self.byte_counts[node_id]

    def branches(self, node_id: int) -> list[Branch]:
        """What hangs under an object: its dependencies as they were tracked, then its slots."""
        found = []
        taken: set[int] = set()

        def add(target: int, name: str, optimizer_id: int | None) -> None:
            if self.with_values and not self.value_counts[target]:
                return
            hangs_here = (
                self._parents[target] == node_id
                and self._names[target] == name
                and target not in taken
                and target != 0
            )
            taken.add(target)
            found.append(Branch(name, target, optimizer_id, not hangs_here))

        for child in self.graph.nodes[node_id].children:
            add(child.node_id, child.local_name, None)
        for optimizer_id, slot in self._slots.get(node_id, ()):
            add(slot.slot_variable_node_id, slot.slot_name, optimizer_id)
        return found

    def parent(self, node_id: int) -> int | None:
        """The node that this one hangs under."""
        parent = self._parents[node_id]
        return None if not node_id or parent == _UNREACHED else parent

    def name(self, node_id: int) -> str:
        """The local name (of a slot: the slot's name) under which it hangs; "" for the root."""
        return self._names[node_id]

    def path(self, node_id: int) -> str:
        """The path of an object as people write it: in the notation of S10, or of names."""
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
        """(node, levels below `node_id`) of an object and all that hangs under it, in order."""
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
        """(values, bytes) of an object and all below it; the root's are those of everything."""
        ids = [node_id, *(() if node_id else self.unreached())]
        return sum(self.value_counts[i] for i in ids), sum(self.byte_counts[i] for i in ids)

    def unreached(self) -> list[int]:
        """Objects that nothing leads to from the root."""
        return [i for i, parent in enumerate(self._parents) if parent == _UNREACHED]


def find_object(graph: ObjectGraph, path: str, *, named: bool) -> int | None:
    """The object at a path, by whichever edges it leads there; None if there is none."""
    try:
        names = path.split("/", _DEEPEST_NAME) if named else split(path)
    except ValueError:
        return None
    return follow(names if path else (), lambda node_id: graph.nodes[node_id].children)


def graph_of_names(keys: list[str]) -> ObjectGraph:
    """A graph for a checkpoint without objects: the tree of its names, split at "/"."""
    tree = NamedTree()
    for key in keys:
        node = tree.graph.nodes[tree.node_at(key.split("/", _DEEPEST_NAME))]
        node.attributes = (Attribute(VARIABLE_VALUE, "", key),)
    return tree.graph
