"""Renames paths in the files of a checkpoint, as `restore(renames=…)` does while it reads.

An index and an object graph are written; the bytes of the values are not copied.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from checkpointable.bundle import rekey_bundle
from checkpointable.common.types import Durability, Path, Progress
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.decoding import decode_graph
from checkpointable.graph.message import graph_message_class
from checkpointable.graph.object_graph import Child, NodePaths, ObjectGraph
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.graph.renames import rename_graph
from checkpointable.graph.stored import read_graph
from checkpointable.maintenance.rename_names import rename_names
from checkpointable.readers.opening import require_bundle
from checkpointable.readers.reader import CheckpointReader
from checkpointable.readers.reading import load_checkpoint
from checkpointable.storage import Storage, given_path, takes_storage

__all__ = ["Renaming", "plan_renaming", "rename_checkpoint"]

_V1 = "has keys and values in one file; `checkpointable reencode` converts it"
_TENSORS = "`checkpointable convert` converts it to a checkpoint, whose paths can be renamed"


class Renaming(NamedTuple):
    """The changes of a rename.

    Attributes:
      keys: Old key -> new key, for every key that changes.
      graph: The new object graph, encoded; None if it stays the same, or there is none.
    """

    keys: dict[str, str]
    graph: bytes | None


@takes_storage
def rename_checkpoint(
    source: Path,
    target: Path,
    renames: Mapping[str, str],
    *,
    overwrite: bool = False,
    durability: Durability = "fsync",
    progress: Progress | None = None,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> str:
    """Writes a checkpoint again with its paths renamed.

        cp.rename_checkpoint("runs/a", "runs/b/ckpt-1", {"encoder/blocks": "encoder/layers"})

    Only an index and the object graph are written. The data files are hard links to those of
    `source`, or copies if the file system does not support links. Values are not decoded, so a
    large checkpoint takes no longer than a small one. In a name-based checkpoint, names are
    renamed by whole segments. No state file is written.

    Args:
      source: A checkpoint prefix, an `.index` file, or a directory (its latest checkpoint).
      target: The checkpoint prefix to write. Missing directories are created.
      renames: Old path -> new path, as for `restore`: all renames apply at once, `*` stands for
        any characters within a segment, the longest match wins.
      overwrite: Replace an existing checkpoint `target`; it must not be `source`.
      durability: "fsync" or "flush", as for `save`.
      progress: Called with (bytes done, total bytes, data file) while files are copied.
      storage: Where the files are. None: the default storage, which `use_storage` sets.

    Returns:
      `target`, which you can pass to `restore`.

    Raises:
      ValueError: A rename matches nothing, would put two objects under one path, or is malformed;
        or `target` is `source`.
      CheckpointIOError: `target` exists, or the system refused.
      CheckpointUnsupportedError: `source` is a checkpoint of TensorFlow before 0.12 (V1), or a
        file of tensors.
      CheckpointNotFoundError, CheckpointCorruptError: As for `load_checkpoint`.
    """
    prefix = given_path(target)
    if not os.path.basename(prefix):
        raise ValueError(f"{prefix!r} names a directory; a checkpoint prefix has a name after it")
    with load_checkpoint(source) as reader:
        plan = plan_renaming(reader, renames)
        bundle = require_bundle(reader, _V1, _TENSORS)
        strings = {} if plan.graph is None else {GRAPH_KEY: plan.graph}
        rekey_bundle(
            bundle,
            prefix,
            plan.keys,
            strings,
            overwrite=overwrite,
            durability=durability,
            progress=progress,
        )
    return prefix


def plan_renaming(reader: CheckpointReader, renames: Mapping[str, str]) -> Renaming:
    """Returns the changes that renames would make in a checkpoint, and writes nothing.

    Raises:
      ValueError, CheckpointUnsupportedError, CheckpointCorruptError: As for `rename_checkpoint`.
    """
    if reader.kind == "tensors":
        raise CheckpointUnsupportedError(
            f"this is a file of tensors: {_TENSORS}", path=reader.prefix
        )
    if reader.kind != "object-based":
        return Renaming(rename_names(reader.keys(), renames), None)
    data = read_graph(reader)
    graph = decode_graph(data, reader.prefix)
    renamed = rename_graph(graph, renames)
    if renamed is graph:
        return Renaming({}, None)
    keys = _new_keys(graph, renamed)
    return Renaming(keys, _encode(data, graph, renamed, keys))


def _new_keys(graph: ObjectGraph, renamed: ObjectGraph) -> dict[str, str]:
    """Returns old key -> new key for objects whose path changes, and their slots."""
    old_paths, new_paths = NodePaths(graph), NodePaths(renamed)
    keys: dict[str, str] = {}
    for node_id, node in enumerate(graph.nodes):
        if not node.attributes:
            continue
        old, new = old_paths[node_id], new_paths[node_id]
        if old == new:
            continue
        for attribute in node.attributes:
            key = attribute.checkpoint_key
            # A key that is not made from the path stays, because the graph contains it.
            if key.startswith(f"{old}/."):
                keys.setdefault(key, new + key[len(old) :])
    return keys


def _encode(
    data: bytes, graph: ObjectGraph, renamed: ObjectGraph, keys: Mapping[str, str]
) -> bytes:
    """Encodes the renamed graph; keeps the fields in `data` that this version does not know."""
    message = graph_message_class().FromString(data)
    moved = _moved_edges(message, graph, renamed)
    for node_id, node in enumerate(renamed.nodes):
        if node_id < len(graph.nodes):
            target, before = message.nodes[node_id], graph.nodes[node_id].children
        else:
            target, before = message.nodes.add(), ()
        if list(node.children) != list(before):
            _set_children(target, node.children, moved)
        for attribute in target.attributes:
            attribute.checkpoint_key = keys.get(attribute.checkpoint_key, attribute.checkpoint_key)
        if node.has_checkpoint_values is not None:
            target.has_checkpoint_values.SetInParent()
            target.has_checkpoint_values.value = node.has_checkpoint_values
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def _set_children(target: Any, children: Iterable[Child], moved: Mapping[int, list[Any]]) -> None:
    before = type(target)()
    before.CopyFrom(target)
    kept = {Child(edge.node_id, edge.local_name): edge for edge in before.children}
    del target.children[:]
    for child in children:
        edge = target.children.add()
        if child in kept:
            edge.CopyFrom(kept[child])
        elif moved.get(child.node_id):
            edge.CopyFrom(moved[child.node_id].pop(0))
        edge.node_id, edge.local_name = child


def _moved_edges(
    message: Any, graph: ObjectGraph, renamed: ObjectGraph
) -> defaultdict[int, list[Any]]:
    """Returns copies of the messages of removed edges, by the node to which they lead."""
    moved: defaultdict[int, list[Any]] = defaultdict(list)
    for stored, node, new in zip(message.nodes, graph.nodes, renamed.nodes, strict=False):
        kept = set(new.children)
        for edge, child in zip(stored.children, node.children, strict=True):
            if child not in kept:
                copy = type(edge)()
                copy.CopyFrom(edge)
                moved[child.node_id].append(copy)
    return moved
