"""Converts checkpoints to safetensors files, and files of tensors to checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.bundle import ValueToWrite, datatype_of, write_bundle
from checkpointable.bundle.writing.target import exists_already
from checkpointable.errors import CheckpointMismatchError, CheckpointUnsupportedError
from checkpointable.graph.named_tree import NamedTree
from checkpointable.graph.object_graph import Attribute
from checkpointable.graph.paths import GRAPH_KEY, VARIABLE_VALUE, split, value_key
from checkpointable.maintenance.tensor_names import TensorNames
from checkpointable.readers.foreign import write_safetensors
from checkpointable.restore.by_name.file_paths import file_paths
from checkpointable.saving.graph_value import graph_to_write
from checkpointable.storage import default_storage, given_path

if TYPE_CHECKING:
    import numpy as np

    from checkpointable.common.types import Progress
    from checkpointable.graph.object_graph import ObjectGraph
    from checkpointable.readers.reader import CheckpointReader

__all__ = ["Converted", "from_tensors", "to_safetensors"]

# The bytes that are verified between two calls of `progress`.
_BATCH_SIZE = 256 << 20


class Converted(NamedTuple):
    """The result of a conversion.

    Attributes:
      values: The number of values that were written.
      size: The bytes of these values.
      left_out: The keys of values that the other format cannot store.
    """

    values: int
    size: int
    left_out: list[str]


def to_safetensors(
    reader: CheckpointReader,
    path: str,
    module: str | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> Converted:
    """Writes the variables of a checkpoint as a safetensors file.

    The variables are named as in the `state_dict` of their module (by their global names), or, with
    `module`, by their paths below it, joined by dots. A tied weight is written once, under its
    first name in the `state_dict`, as `save_pretrained` does. Slots and Python state are left out.
    The file has the metadata `{"format": "pt"}`.

    Args:
      reader: The checkpoint.
      path: The path of the file to write.
      module: The path of the module in the checkpoint; "" for the root; None: all variables with a
        global name.
      progress: Called with (bytes done, total bytes, key). Values are verified first, then
        written, so the total is twice their size.
      overwrite: Replace an existing file.

    Raises:
      CheckpointIOError: The file exists, or the system refused.
      CheckpointMismatchError: Two values have the same name.
      CheckpointUnsupportedError: There is no value to write, or one has a dtype that safetensors
        does not support.
    """
    path = given_path(path)
    if not overwrite:
        _check_free(path)
    graph = reader.graph()
    if graph is None:
        named = {key: key for key in reader.keys() if not reader.dtype(key).hasobject}
    else:
        named = _names(reader, graph, module)
    if not named:
        if module is None:
            which = "with a global name; pass the path of the module (--module)"
        else:
            which = f"below the path {module!r}"
        raise CheckpointUnsupportedError(f"there is no variable {which}", path=reader.prefix)
    arrays = {name: reader.view(key) for name, key in named.items()}
    size = sum(array.nbytes for array in arrays.values())
    verified = 0
    for keys, read in _batches(reader, named.values()):
        reader.check(keys)
        verified += read
        if progress is not None:
            progress(verified, 2 * size, keys[-1])

    def written(done: int) -> None:
        if progress is not None:
            progress(size + min(done, size), 2 * size, "")

    if not overwrite:
        _check_free(path)  # again: verification may have taken long
    # Other loaders read from the metadata which framework's names and layouts a file has. A name
    # with slashes is the global name of a variable of TensorFlow.
    metadata = None if any("/" in name for name in named) else {"format": "pt"}
    write_safetensors(path, arrays, metadata, progress=written)
    left_out = sorted({*reader.keys()} - {*named.values(), GRAPH_KEY})
    return Converted(len(arrays), size, left_out)


def _check_free(path: str) -> None:
    if default_storage().exists(path):
        raise exists_already("a file", path)


def _batches(reader: CheckpointReader, keys: Iterable[str]) -> Iterator[tuple[list[str], int]]:
    """Yields (keys, bytes) of values that are verified together."""
    batch: list[str] = []
    size = 0
    for key in keys:
        batch.append(key)
        size += reader.stored(key).nbytes
        if size >= _BATCH_SIZE:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


def _names(reader: CheckpointReader, graph: ObjectGraph, module: str | None) -> dict[str, str]:
    """Returns name -> key of the variables to write."""
    names = TensorNames(graph, module)
    slots = {slot.slot_variable_node_id for node in graph.nodes for slot in node.slot_variables}
    named: dict[str, str] = {}
    for node_id, node in enumerate(graph.nodes):
        for attribute in node.attributes:
            if node_id in slots or attribute.name != VARIABLE_VALUE:
                continue
            name = names.of(node_id, attribute.full_name)
            if not name or reader.dtype(attribute.checkpoint_key).hasobject:
                continue
            if name in named:
                raise CheckpointMismatchError(
                    f"two values have the name {name!r}: this one and {named[name]}; pass the "
                    "path of the module (--module)",
                    path=reader.prefix,
                    key=attribute.checkpoint_key,
                )
            named[name] = attribute.checkpoint_key
    if module is None:
        named.pop("save_counter", None)
    return named


def from_tensors(
    reader: CheckpointReader,
    prefix: str,
    module: str | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> Converted:
    """Writes a file of tensors as a checkpoint with an object graph.

    The name `layers.0.weight` becomes the path `<module>/layers/0/weight`, so that
    `cp.Checkpoint(model=model).restore(prefix)` restores it. If a file contains several state
    dicts, each is stored under its name (`restore.by_name.file_paths`). Names of wrappers of the
    saved module (`module.`, `_orig_mod.`) are removed.

    Args:
      reader: The file of tensors.
      prefix: The checkpoint prefix to write.
      module: The path that precedes the names; "" for the root; None: `model`.
      progress: Called with (bytes done, total bytes, key).
      overwrite: Replace an existing checkpoint.

    Raises:
      CheckpointIOError: The checkpoint exists, or the system refused.
      CheckpointMismatchError: Two tensors have the same path.
      CheckpointCorruptError: A checksum of the file is wrong.
      CheckpointUnsupportedError: There is no tensor to write.
    """
    tree = NamedTree()
    graph = tree.graph
    values_to_write: list[ValueToWrite] = []
    paths = file_paths(reader.keys(), reader.dicts.sections, reader.dicts.optimizers, module)
    left_out = [*reader.dicts.optimizers, *reader.dicts.others]
    size = 0
    names: dict[str, str] = {}
    for name, (path, full_name) in paths.items():
        try:
            dtype = reader.dtype(name)
        except CheckpointUnsupportedError:
            left_out.insert(0, name)
            continue
        key = value_key(path, VARIABLE_VALUE)
        if key in names:
            raise CheckpointMismatchError(
                f"{names[key]!r} and {name!r} would both have the path {path}; pass another path "
                "of the module (--module)",
                path=reader.prefix,
            )
        names[key] = name
        graph.nodes[tree.node_at(split(path))].attributes = [
            Attribute(VARIABLE_VALUE, full_name, key)
        ]
        values_to_write.append(
            ValueToWrite(key, datatype_of(dtype), reader.shape(name), _read(reader, name))
        )
        size += reader.stored(name).nbytes
    if not values_to_write:
        raise CheckpointUnsupportedError(
            "it contains only optimizer state, which cannot be converted because it goes by the "
            "position of its parameters"
            if reader.dicts.optimizers
            else "it contains no tensor that can be written",
            path=reader.prefix,
        )
    reader.check(names.values())
    graph.mark_nodes_with_values()
    values_to_write.append(graph_to_write(graph))
    write_bundle(given_path(prefix), values_to_write, progress=progress, overwrite=overwrite)
    return Converted(len(values_to_write) - 1, size, left_out)


def _read(reader: CheckpointReader, name: str) -> Any:
    def read() -> np.ndarray[Any, np.dtype[Any]]:
        return reader.view(name)

    return read
