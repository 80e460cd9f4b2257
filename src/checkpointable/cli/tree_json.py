"""The object tree as JSON: a list of objects, since nesting would be as deep as the graph."""

from __future__ import annotations

from typing import Any

from checkpointable.cli.output import write_json_rows
from checkpointable.cli.tree import ObjectTree

__all__ = ["write_tree_json"]


def write_tree_json(
    tree: ObjectTree, prefix: str, node_id: int, depth: int | None, rest: list[str]
) -> None:
    """Writes an object and what hangs under it, an object a line (docs/command-line.md)."""
    head = {"checkpoint": prefix, "kind": "names" if tree.named else "objects"}
    ids = [below for below, _ in tree.below(node_id, depth)]
    if not node_id and depth is None:
        ids += tree.unreached()
    count, size = tree.totals(node_id)
    totals = {"objects": len(ids), "values": count, "bytes": size}
    tail = {"totals": totals, "values_of_no_object": [] if node_id else rest}
    write_json_rows(head, "objects", (_object(tree, below) for below in ids), tail)


def _object(tree: ObjectTree, node_id: int) -> dict[str, Any]:
    node = tree.graph.nodes[node_id]
    values = []
    for attribute in node.attributes:
        stored = tree.lookup(attribute.checkpoint_key)
        described = {"key": attribute.checkpoint_key} if stored is None else stored.as_json()
        extra = {"attribute": attribute.name, "full_name": attribute.full_name}
        values.append(described | extra | {"is_missing": stored is None})
    return {
        "id": node_id,
        "path": tree.path(node_id),
        "parent": tree.parent(node_id),
        "name": tree.name(node_id),
        "values": values,
        "children": [{"name": child.local_name, "id": child.node_id} for child in node.children],
        "slots": [
            {
                "name": slot.slot_name,
                "variable": slot.original_variable_node_id,
                "id": slot.slot_variable_node_id,
            }
            for slot in node.slot_variables
        ],
        "total": {"values": tree.value_counts[node_id], "bytes": tree.byte_counts[node_id]},
    }
