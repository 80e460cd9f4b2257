"""What the tests of the contract share: saving, restoring, and looking into the result."""

from __future__ import annotations

import os
from typing import Any

import checkpointable as cp

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


def save(root: Any, path: str | os.PathLike[str], number: int | None = None) -> str:
    """Saves without syncing, which no test here is about."""
    return cp.CheckpointableSaver(root).save(path, number, durability="flush")


def restore(root: Any, path: str | None, **keywords: Any) -> Any:
    return cp.CheckpointableSaver(root).restore(path, **keywords)


def keys(path: str) -> list[str]:
    """The keys of the values, without the attribute's part; the graph's own left out."""
    return [
        key.partition("/.ATTRIBUTES/")[0] for key, _ in cp.list_variables(path) if key != GRAPH_KEY
    ]


def edges(path: str) -> list[tuple[int, str, int]]:
    """(node, local name, node) of every dependency in a checkpoint."""
    graph = cp.object_metadata(path)
    return [
        (node_id, child.local_name, child.node_id)
        for node_id, node in enumerate(graph.nodes)
        for child in node.children
    ]


class Module(cp.Checkpointable):
    """An object that takes its dependencies as keywords."""

    def __init__(self, **dependencies: Any) -> None:
        for name, value in dependencies.items():
            setattr(self, name, value)


class Counter(cp.PythonState):
    """Python state: a number, as text."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def serialize(self) -> str:
        return str(self.count)

    def deserialize(self, string_value: bytes) -> None:
        self.count = int(string_value)


def variable(value: float = 0.0) -> cp.Variable:
    return cp.Variable(value, dtype="float32")
