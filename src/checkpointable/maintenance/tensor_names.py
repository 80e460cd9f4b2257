"""Names of values in a file of tensors, as in a `state_dict`."""

from __future__ import annotations

from checkpointable.graph.object_graph import NodePaths, ObjectGraph
from checkpointable.graph.paths import follow, split

__all__ = ["TensorNames"]


class TensorNames:
    """The name of each value in a file of tensors: `names.of(node_id, full_name)`.

    A tied weight has several names. Exports of PyTorch keep the first one of the `state_dict`
    (`transformer.wte.weight`, not `lm_head.weight`), because a part of the model, such as GPT-2
    without its head, has no other name for it. The shortest path, which the keys of a checkpoint
    contain, may be another one.

    Args:
      graph: The object graph.
      module: The path of the module; None: values have their global names.
    """

    def __init__(self, graph: ObjectGraph, module: str | None) -> None:
        self._graph = graph
        self._module = module
        self._paths = NodePaths(graph)
        self._trees: dict[tuple[str, ...], _FirstPaths | None] = {}

    def of(self, node_id: int, full_name: str) -> str:
        """Returns the name of the value of a node; "" if it is outside the module.

        Args:
          node_id: The node.
          full_name: The global name of its value.
        """
        path = self._paths[node_id]
        segments = split(path)
        naming_module = _module_of(segments, full_name)
        if self._module is None:
            tree = None if naming_module is None else self._below(naming_module)
            return full_name if tree is None else tree.name(node_id) or full_name
        if naming_module is not None:
            tree = self._below(split(self._module))
            return "" if tree is None else tree.name(node_id)
        if self._module and not path.startswith(f"{self._module}/"):
            return ""
        return ".".join(split(path[len(self._module) :].lstrip("/")))

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

    Returns None if the name has another origin, such as a variable of TensorFlow.
    """
    # A tail of one segment is not tried: a parameter of the outermost module has only one name.
    for start in range(len(segments) - 1):
        if ".".join(segments[start:]) == full_name:
            return segments[:start]
    return None


class _FirstPaths:
    """The first path from a node to each below it, depth-first: the order of a `state_dict`."""

    def __init__(self, graph: ObjectGraph, top: int) -> None:
        # Node -> (parent, local name). The paths of a deep graph would need too much memory.
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
