"""Renames: a checkpoint's paths read as those of a program whose code has changed.

    {"encoder/blocks": "encoder/layers"}     a list renamed, with all that is in it
    {"a": "b", "b": "a"}                     a swap: all renames apply at once
    {"layers/2": "layers/3", "layers/3": "layers/4"}     a block was inserted
    {"encoder": "model/encoder"}             a part moved under a wrapper
    {"layer_*": "blocks/*"}                  `*` stands for any run within one segment

A rename moves an edge of the checkpoint's graph, and so whatever the edge leads to, slots
included: those hang on nodes, not on paths.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from checkpointable.graph.object_graph import Child, Node, NodePaths, ObjectGraph
from checkpointable.graph.paths import escape, unescape

__all__ = ["rename_graph"]


@dataclass(frozen=True)
class _Move:
    """One edge and where it goes: segments of the paths, escaped as the user types them."""

    parent: int
    local_name: str
    node_id: int
    target: tuple[str, ...]
    rename: str
    specificity: tuple[int, int]


def rename_graph(graph: ObjectGraph, renames: Mapping[str, str]) -> ObjectGraph:
    """The graph with its paths renamed; its nodes keep their ids, and new ones may follow.

    Args:
      graph: a checkpoint's graph; left as it is.
      renames: checkpoint's path -> program's path. Where two match the same edge, the longer
        (then the one with fewer `*`) wins.

    Raises:
      ValueError: a rename that matches nothing, that two things would collide under one path
        by, or that is malformed; the message names it.
    """
    if not renames:
        return graph
    moves: dict[tuple[int, str], _Move] = {}
    for source, target in renames.items():
        matched = False
        for move in _matches(graph, source, target):
            matched = True
            edge = (move.parent, move.local_name)
            known = moves.get(edge)
            if known is None or move.specificity > known.specificity:
                moves[edge] = move
        if not matched:
            raise ValueError(_matches_nothing(graph, source))
    return _apply(graph, list(moves.values()))


def _matches(graph: ObjectGraph, source: str, target: str) -> Iterator[_Move]:
    """The edges that `source` names, each with its own target."""
    patterns = _segments(source, "checkpoint's path")
    targets = _segments(target, "program's path")
    stars = source.count("*")
    if target.count("*") > stars:
        raise ValueError(
            f"rename {source!r} -> {target!r}: the target has more '*' than the source"
        )
    expressions = [_expression(pattern) for pattern in patterns]
    specificity = (len(patterns), -stars)
    # (node, captures so far, depth); one edge per path and match is enough.
    states: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    for depth, expression in enumerate(expressions):
        following: list[tuple[int, tuple[str, ...]]] = []
        for node_id, captures in states:
            for child in graph.nodes[node_id].children:
                found = expression.fullmatch(escape(child.local_name))
                if found is None:
                    continue
                caught = (*captures, *found.groups())
                if depth + 1 < len(expressions):
                    following.append((child.node_id, caught))
                    continue
                yield _Move(
                    node_id,
                    child.local_name,
                    child.node_id,
                    _fill(targets, caught),
                    f"{source!r} -> {target!r}",
                    specificity,
                )
        states = following


def _segments(path: str, what: str) -> list[str]:
    segments = path.strip("/").split("/")
    if not all(segments):
        raise ValueError(f"rename: the {what} {path!r} is empty, or has an empty segment")
    for segment in segments:
        unescape(segment)  # raises on what is no segment
    return segments


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("(.*)".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def _fill(targets: Iterable[str], captures: tuple[str, ...]) -> tuple[str, ...]:
    remaining = iter(captures)
    return tuple(re.sub(r"\*", lambda _: next(remaining), segment) for segment in targets)


def _apply(graph: ObjectGraph, moves: list[_Move]) -> ObjectGraph:
    moved = {(move.parent, move.local_name) for move in moves}
    children = [
        [child for child in node.children if (node_id, child.local_name) not in moved]
        for node_id, node in enumerate(graph.nodes)
    ]
    renamed = ObjectGraph(
        [
            Node(
                kept,
                node.attributes,
                node.slot_variables,
                node.registered_saver,
                node.has_checkpoint_values,
            )
            for node, kept in zip(graph.nodes, children, strict=True)
        ]
    )
    # Shallow targets first: a deeper one may lie in what they bring.
    for move in sorted(moves, key=lambda move: len(move.target)):
        parent = _find_or_make(renamed, children, move.target[:-1])
        local_name = unescape(move.target[-1])
        for child in children[parent]:
            if child.local_name == local_name and child.node_id != move.node_id:
                raise ValueError(
                    f"rename {move.rename}: {'/'.join(move.target)} is taken by another object "
                    "of the checkpoint; rename that one too"
                )
        if Child(move.node_id, local_name) not in children[parent]:
            children[parent].append(Child(move.node_id, local_name))
    if any(node.has_checkpoint_values is not None for node in graph.nodes):
        renamed.mark_nodes_with_values()
    return renamed


def _find_or_make(renamed: ObjectGraph, children: list[list[Child]], path: tuple[str, ...]) -> int:
    """The node at `path`; what is missing on the way is made, without values."""
    node_id = 0
    for segment in path:
        local_name = unescape(segment)
        for child in children[node_id]:
            if child.local_name == local_name:
                node_id = child.node_id
                break
        else:
            new_id = len(renamed.nodes)
            made: list[Child] = []
            renamed.nodes.append(Node(made))
            children.append(made)
            children[node_id].append(Child(new_id, local_name))
            node_id = new_id
    return node_id


def _matches_nothing(graph: ObjectGraph, source: str) -> str:
    paths = NodePaths(graph)
    known = [paths[node_id] for node_id in range(min(len(graph.nodes), 10_000))]
    near = difflib.get_close_matches(source, known, 3, 0.5)
    hint = f"; near it: {', '.join(near)}" if near else ""
    return f"rename {source!r} matches nothing in the checkpoint{hint}"
