"""Gives a name-based checkpoint an object graph, without objects of a program (S38)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.bundle import (
    ValueToWrite,
    check_target,
    datatype_of,
    write_bundle,
)
from checkpointable.common.scalar_strings import array_of_contents
from checkpointable.common.types import Durability, Path, Progress
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.named_tree import NamedTree
from checkpointable.graph.object_graph import Attribute, ObjectGraph
from checkpointable.graph.paths import VARIABLE_VALUE, path_of, value_key
from checkpointable.readers.reader import CheckpointReader
from checkpointable.readers.reading import load_checkpoint
from checkpointable.saving.graph_value import graph_to_write
from checkpointable.storage import Storage, given_path, takes_storage

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["reencode_checkpoint"]


@takes_storage
def reencode_checkpoint(
    source: Path,
    target: Path,
    *,
    overwrite: bool = False,
    durability: Durability = "fsync",
    progress: Progress | None = None,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> str:
    """Writes a name-based checkpoint again with an object graph made from its names.

        cp.reencode_checkpoint("model/final.ckpt-158301", "runs/a/ckpt-1")

    The value `conv1/weights` becomes the value of an object at the path `conv1/weights`: each
    segment of the name is a local name. If the name of a value is the beginning of other names
    (`conv1/weights` and `conv1/weights/Adam`), its object has both a value and dependencies.

    Args:
      source: A name-based checkpoint; its prefix, `.index` file, or directory.
      target: The checkpoint prefix to write. Missing directories are created.
      overwrite: Replace an existing checkpoint `target`; it must not be `source`.
      durability: "fsync" or "flush", as for `save`.
      progress: Called with (bytes done, total bytes, key).
      storage: Where the files are. None: the default storage, which `use_storage` sets.

    Returns:
      `target`, which you can pass to `restore`.

    Raises:
      CheckpointUnsupportedError: `source` has an object graph, or is a file of tensors.
      CheckpointIOError: `target` exists, or the system refused.
      ValueError: `target` is `source`.
      CheckpointNotFoundError, CheckpointCorruptError: As for `load_checkpoint`.
    """
    prefix = given_path(target)
    with load_checkpoint(source) as reader:
        if reader.kind == "tensors":
            raise CheckpointUnsupportedError(
                "this is a file of tensors: `checkpointable convert` converts it to a checkpoint",
                path=reader.prefix,
            )
        if reader.kind == "object-based":
            raise CheckpointUnsupportedError(
                "this checkpoint already has an object graph; `checkpointable rename` changes its "
                "paths",
                path=reader.prefix,
            )
        check_target(reader.prefix, prefix, overwrite=overwrite)
        graph, keys = _graph_of_names(reader.keys())
        values_to_write = [
            ValueToWrite(
                key, datatype_of(reader.stored(name).dtype), reader.shape(name), _read(reader, name)
            )
            for name, key in keys.items()
        ]
        values_to_write.append(graph_to_write(graph))
        write_bundle(
            prefix, values_to_write, durability=durability, progress=progress, overwrite=overwrite
        )
    return prefix


def _read(reader: CheckpointReader, name: str) -> Callable[[], Any]:
    def read() -> Any:
        return array_of_contents(reader.get_tensor(name))

    return read


def _graph_of_names(names: list[str]) -> tuple[ObjectGraph, dict[str, str]]:
    """Returns a tree of objects with these names as paths, and the key of each name."""
    tree = NamedTree()
    keys: dict[str, str] = {}
    for name in names:
        segments = name.split("/")
        keys[name] = value_key(path_of(segments), VARIABLE_VALUE)
        node = tree.graph.nodes[tree.node_at(segments)]
        node.attributes = [Attribute(VARIABLE_VALUE, name, keys[name])]
    tree.graph.mark_nodes_with_values()
    return tree.graph, keys
