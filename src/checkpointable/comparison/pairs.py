"""Pairs the values of two checkpoints."""

from __future__ import annotations

from typing import NamedTuple

from checkpointable.graph.object_graph import ObjectGraph
from checkpointable.graph.paths import GRAPH_KEY, VARIABLE_VALUE, path_of
from checkpointable.graph.shown_paths import ShownPaths
from checkpointable.readers.reader import CheckpointReader

__all__ = ["ValuePair", "pairs_of"]


class ValuePair(NamedTuple):
    """A value of one checkpoint, or of both.

    Attributes:
      path: the path of its object, or its name.
      attribute: the name of the value within its object; "" without an object.
      first, second: its keys, None where a checkpoint lacks it.
    """

    path: str
    attribute: str
    first: str | None
    second: str | None


def pairs_of(one: CheckpointReader, other: CheckpointReader) -> list[ValuePair]:
    """Returns the pairs of two checkpoints, sorted by path, or by name without object graphs."""
    graphs = [one.graph(), other.graph()]
    if graphs[0] is not None and graphs[1] is not None:
        pairs = _pairs_of_graphs(graphs[0], graphs[1])
        pairs += _of_no_object(one, graphs[0], other, graphs[1])
    else:
        is_named = graphs[0] is graphs[1]  # both None
        first_keys, second_keys = (
            _by_path(reader, graph, escaped=not is_named)
            for reader, graph in zip((one, other), graphs, strict=True)
        )
        pairs = [
            ValuePair(*name, first_keys.get(name), second_keys.get(name))
            for name in {**first_keys, **second_keys}
        ]
    return sorted(
        pair
        for pair in pairs
        if (pair.first is None or pair.first in one)
        and (pair.second is None or pair.second in other)
    )


def _by_path(
    reader: CheckpointReader, graph: ObjectGraph | None, *, escaped: bool
) -> dict[tuple[str, str], str]:
    if graph is None:
        names = {key: path_of(key.split("/")) for key in reader.keys()}
        return {(names[key] if escaped else key, VARIABLE_VALUE): key for key in names}
    paths = ShownPaths(graph)
    return {
        (paths[node_id], attribute.name): attribute.checkpoint_key
        for node_id, node in enumerate(graph.nodes)
        for attribute in node.attributes
    }


def _pairs_of_graphs(a: ObjectGraph, b: ObjectGraph) -> list[ValuePair]:
    a_paths, b_paths = ShownPaths(a), ShownPaths(b)
    pairs: list[ValuePair] = []
    in_a, in_b = set[int](), set[int]()
    for i, j in _matched(a, b):
        # If an object is two objects on the other side, each of the two has a path.
        again = i in in_a
        in_a.add(i)
        in_b.add(j)
        if not (a.nodes[i].attributes or b.nodes[j].attributes):
            continue
        path = b_paths[j] if again else a_paths[i]
        a_keys = {v.name: v.checkpoint_key for v in a.nodes[i].attributes}
        b_keys = {v.name: v.checkpoint_key for v in b.nodes[j].attributes}
        pairs += [
            ValuePair(path, name, a_keys.get(name), b_keys.get(name))
            for name in {**a_keys, **b_keys}
        ]
    pairs += [
        ValuePair(a_paths[i], value.name, value.checkpoint_key, None)
        for i, node in enumerate(a.nodes)
        if i not in in_a
        for value in node.attributes
    ]
    pairs += [
        ValuePair(b_paths[j], value.name, None, value.checkpoint_key)
        for j, node in enumerate(b.nodes)
        if j not in in_b
        for value in node.attributes
    ]
    return pairs


def _matched(a: ObjectGraph, b: ObjectGraph) -> list[tuple[int, int]]:
    """Returns the pairs of nodes that a restore would match; a node may be in several."""
    pairs = [(0, 0)] if a.nodes and b.nodes else []
    seen_a, seen_b = {0}, {0}
    partner = {0: 0}

    def add(i: int, j: int) -> None:
        if i not in seen_a or j not in seen_b:
            seen_a.add(i)
            seen_b.add(j)
            partner.setdefault(i, j)
            pairs.append((i, j))

    def walk(position: int) -> None:
        while position < len(pairs):
            i, j = pairs[position]
            names = {child.local_name: child.node_id for child in b.nodes[j].children}
            for child in a.nodes[i].children:
                if child.local_name in names:
                    add(child.node_id, names[child.local_name])
            position += 1

    walk(0)
    reached = len(pairs)
    for i, j in pairs[:reached]:
        slots = {
            (slot.original_variable_node_id, slot.slot_name): slot.slot_variable_node_id
            for slot in b.nodes[j].slot_variables
        }
        for slot in a.nodes[i].slot_variables:
            variable = partner.get(slot.original_variable_node_id)
            if variable is not None and (variable, slot.slot_name) in slots:
                add(slot.slot_variable_node_id, slots[variable, slot.slot_name])
    walk(reached)
    return pairs


def _of_no_object(
    one: CheckpointReader, a: ObjectGraph, other: CheckpointReader, b: ObjectGraph
) -> list[ValuePair]:
    """Pairs values that belong to no object, such as those of TensorFlow's registered savers."""
    left = []
    for reader, graph in ((one, a), (other, b)):
        known = {value.checkpoint_key for node in graph.nodes for value in node.attributes}
        left.append([key for key in reader.keys() if key not in known and key != GRAPH_KEY])
    return [
        ValuePair(key, "", key if key in left[0] else None, key if key in left[1] else None)
        for key in dict.fromkeys(left[0] + left[1])
    ]
