"""Renames: map the paths of a checkpoint to those of a program whose code has changed.

    {"encoder/blocks": "encoder/layers"}     a list was renamed, with all its contents
    {"a": "b", "b": "a"}                     two names were swapped: all renames apply at once
    {"layers/2": "layers/3", "layers/3": "layers/4"}     a block was inserted
    {"encoder": "model/encoder"}             a part was moved into a wrapper
    {"layer_*": "blocks/*"}                  `*` matches any text within one segment

A rename moves an edge of the checkpoint's graph, with everything the edge leads to. Slots move with
their variables, because they belong to nodes rather than paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from checkpointable.common.suggestions import similar_names
from checkpointable.graph.object_graph import Child, Node, NodePaths, ObjectGraph
from checkpointable.graph.paths import escape, unescape

__all__ = ["rename_graph"]


@dataclass(frozen=True)
class _Move:
    """An edge and its target, as segments that are escaped as the user types them."""

    parent: int
    local_name: str
    node_id: int
    target: tuple[str, ...]
    rename: str
    specificity: tuple[int, int]


# node -> local name -> edge; filled when first needed
_Named: TypeAlias = dict[int, dict[str, Child]]


def rename_graph(graph: ObjectGraph, renames: Mapping[str, str]) -> ObjectGraph:
    """Returns the graph with its paths renamed. Nodes keep their ids, and new ones may follow.

    Args:
      graph: the graph of a checkpoint, which is not changed.
      renames: checkpoint's path -> program's path. If two match the same edge, the longer wins,
        then the one with fewer `*`.

    Raises:
      ValueError: a rename is malformed, matches nothing, or gives two objects the same path. The
        message names it.
    """
    if not renames:
        return graph
    moves: dict[tuple[int, str], _Move] = {}
    named: _Named = {}
    for source, target in renames.items():
        matched = False
        for move in _matches(graph, named, source, target):
            matched = True
            edge = (move.parent, move.local_name)
            known = moves.get(edge)
            if known is None or move.specificity > known.specificity:
                moves[edge] = move
        if not matched:
            raise ValueError(_matches_nothing(graph, source))
    return _apply(graph, list(moves.values()))


def _matches(graph: ObjectGraph, named: _Named, source: str, target: str) -> Iterator[_Move]:
    """Yields the edges that `source` matches, each with its target."""
    patterns = _segments(source, "checkpoint's path")
    targets = _segments(target, "program's path")
    stars = source.count("*")
    if target.count("*") > stars:
        raise ValueError(
            f"rename {source!r} -> {target!r}: the target has more '*' than the source"
        )
    specificity = (len(patterns), -stars)
    # (node, texts that the stars matched), each once.
    states: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    for depth, pattern in enumerate(patterns):
        following: dict[tuple[int, tuple[str, ...]], None] = {}
        for node_id, captures in states:
            for child, caught in _matching(graph, named, node_id, pattern):
                if depth + 1 < len(patterns):
                    following[child.node_id, captures + caught] = None
                    continue
                yield _Move(
                    node_id,
                    child.local_name,
                    child.node_id,
                    _fill(targets, captures + caught),
                    f"{source!r} -> {target!r}",
                    specificity,
                )
        states = list(following)


def _matching(
    graph: ObjectGraph, named: _Named, node_id: int, pattern: str
) -> Iterator[tuple[Child, tuple[str, ...]]]:
    """Yields the edges of a node whose segment matches, with the texts that the stars match."""
    if "*" in pattern:
        expression = _expression(pattern)
        for child in graph.nodes[node_id].children:
            match = expression.fullmatch(escape(child.local_name))
            if match is not None:
                yield child, match.groups()
        return
    if node_id not in named:
        named[node_id] = {child.local_name: child for child in graph.nodes[node_id].children}
    known = named[node_id].get(unescape(pattern))
    if known is not None:
        yield known, ()


def _segments(path: str, what: str) -> list[str]:
    segments = path.strip("/").split("/")
    if not all(segments):
        raise ValueError(f"rename: the {what} {path!r} is empty, or has an empty segment")
    for segment in segments:
        unescape(segment)  # raises if it is malformed
    return segments


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("(.*)".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def _fill(targets: Iterable[str], captures: tuple[str, ...]) -> tuple[str, ...]:
    remaining = iter(captures)
    return tuple(re.sub(r"\*", lambda _: next(remaining), segment) for segment in targets)


class _Edges:
    """The edges of a graph while they move.

    Attributes:
      nodes: the nodes of the graph, and new ones.
      children: node -> edges, None in the position of an edge that has left. An edge that stays
        with its parent keeps its position.
      named: node -> local name -> node.
    """

    def __init__(self, graph: ObjectGraph) -> None:
        self.nodes = list(graph.nodes)
        self.children: list[list[Child | None]] = [list(node.children) for node in graph.nodes]
        self.named = [{c.local_name: c.node_id for c in node.children} for node in graph.nodes]
        self._positions: dict[tuple[int, str], int] = {}
        self._known: set[int] = set()

    def take(self, parent: int, local_name: str) -> None:
        if parent not in self._known:
            self._known.add(parent)
            for position, child in enumerate(self.nodes[parent].children):
                self._positions[parent, child.local_name] = position
        self.children[parent][self._positions[parent, local_name]] = None
        del self.named[parent][local_name]

    def put(self, parent: int, edge: Child, move: _Move) -> None:
        if parent == move.parent:
            self.children[parent][self._positions[parent, move.local_name]] = edge
        else:
            self.children[parent].append(edge)

    def find_or_make(self, path: tuple[str, ...]) -> int:
        """Returns the node at `path`. Adds it, and nodes above it, where they are missing."""
        node_id = 0
        for segment in path:
            local_name = unescape(segment)
            known = self.named[node_id].get(local_name)
            if known is None:
                known = len(self.nodes)
                self.nodes.append(Node())
                self.named.append({})
                self.children.append([])
                self.children[node_id].append(Child(known, local_name))
                self.named[node_id][local_name] = known
            node_id = known
        return node_id


def _apply(graph: ObjectGraph, moves: list[_Move]) -> ObjectGraph:
    edges = _Edges(graph)
    for move in moves:
        edges.take(move.parent, move.local_name)
    # Shallow targets first, because a deeper one may lie below an edge that they move.
    for move in sorted(moves, key=lambda move: len(move.target)):
        parent = edges.find_or_make(move.target[:-1])
        local_name = unescape(move.target[-1])
        if edges.named[parent].setdefault(local_name, move.node_id) != move.node_id:
            raise ValueError(
                f"rename {move.rename}: {'/'.join(move.target)} is taken by another object "
                "of the checkpoint; rename that one too"
            )
        edges.put(parent, Child(move.node_id, local_name), move)
    renamed = ObjectGraph(
        [
            Node(
                list(dict.fromkeys(child for child in children if child is not None)),
                node.attributes,
                node.slot_variables,
                node.registered_saver,
                node.has_checkpoint_values,
            )
            for node, children in zip(edges.nodes, edges.children, strict=True)
        ]
    )
    if any(node.has_checkpoint_values is not None for node in graph.nodes):
        renamed.mark_nodes_with_values()
    return renamed


def _matches_nothing(graph: ObjectGraph, source: str) -> str:
    paths = NodePaths(graph)
    known = [paths[node_id] for node_id in range(min(len(graph.nodes), 10_000))]
    similar = similar_names(source, known, cutoff=0.5)
    hint = f"; similar ones: {', '.join(similar)}" if similar else ""
    return f"rename {source!r} matches nothing in the checkpoint{hint}"
