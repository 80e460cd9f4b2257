"""Names for the values of a checkpoint in a file of tensors, as a `state_dict` has them."""

from __future__ import annotations

from checkpointable.graph.object_graph import NodePaths, ObjectGraph
from checkpointable.graph.paths import follow, split

__all__ = ["TensorNames"]


class TensorNames:
    """The name of each value in a file of tensors: `names.of(node_id, full_name)`.

    A tied weight has several names. PyTorch's exports keep the first one of the `state_dict`
    (`transformer.wte.weight`, not `lm_head.weight`), because a part of the model, such as
    GPT-2 without its head, has only that. The nearest path, which a checkpoint's keys have,
    may be another one.

    Args:
      graph: the object graph.
      prefix: the path of the module; None: values have their global names.
    """

    def __init__(self, graph: ObjectGraph, prefix: str | None) -> None:
        self._graph = graph
        self._prefix = prefix
        self._paths = NodePaths(graph)
        self._trees: dict[tuple[str, ...], _FirstPaths | None] = {}

    def of(self, node_id: int, full_name: str) -> str:
        """Returns the name of the value of a node, "" if it is not to be written.

        Args:
          node_id: the node.
          full_name: the global name of its value.
        """
        path = self._paths[node_id]
        segments = split(path)
        module = _module_of(segments, full_name)
        if self._prefix is None:
            tree = None if module is None else self._below(module)
            return full_name if tree is None else tree.name(node_id) or full_name
        if module is not None:
            tree = self._below(split(self._prefix))
            return "" if tree is None else tree.name(node_id)
        if self._prefix and not path.startswith(f"{self._prefix}/"):
            return ""
        return ".".join(split(path[len(self._prefix) :].lstrip("/")))

    def _below(self, module: list[str]) -> _FirstPaths | None:
        key = tuple(module)
        if key not in self._trees:
            top = follow(module, self._edges)
            self._trees[key] = None if top is None else _FirstPaths(self._graph, top)
        return self._trees[key]

    def _edges(self, node_id: int) -> list[tuple[int, str]]:
        return [(child.node_id, child.local_name) for child in self._graph.nodes[node_id].children]


def _module_of(segments: list[str], full_name: str) -> list[str] | None:
    """Returns the path of the module whose `state_dict` gave a value its global name.

    None for a value that has its name from elsewhere, such as a variable of TensorFlow.
    """
    # A parameter of the outermost module itself has one name only, so the tail has two segments.
    for start in range(len(segments) - 1):
        if ".".join(segments[start:]) == full_name:
            return segments[:start]
    return None


class _FirstPaths:
    """The first path from a node to each below it, depth-first: the order of a `state_dict`."""

    def __init__(self, graph: ObjectGraph, top: int) -> None:
        # Node -> (the node above, local name); whole paths of a deep graph would be large.
        self._origins: dict[int, tuple[int, str] | None] = {}
        waiting: list[tuple[int, tuple[int, str] | None]] = [(top, None)]
        while waiting:
            node_id, origin = waiting.pop()
            if node_id in self._origins:
                continue
            self._origins[node_id] = origin
            waiting += [
                (child.node_id, (node_id, child.local_name))
                for child in reversed(graph.nodes[node_id].children)
            ]

    def name(self, node_id: int) -> str:
        """Returns the local names along the path, joined by dots; "" if no path leads there."""
        names = []
        origin = self._origins.get(node_id)
        while origin is not None:
            node_id, local_name = origin
            names.append(local_name)
            origin = self._origins[node_id]
        return ".".join(reversed(names))
