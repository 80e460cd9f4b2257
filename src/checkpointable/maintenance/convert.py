"""Between checkpoints and files of tensors: to safetensors, and from what others wrote."""

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

# Bytes that are verified between two calls of a progress.
_BATCH_SIZE = 256 << 20


class Converted(NamedTuple):
    """What a conversion did.

    Attributes:
      values: how many values were written.
      size: their bytes.
      left_out: keys of values that the other side has no place for.
    """

    values: int
    size: int
    left_out: list[str]


def to_safetensors(
    reader: CheckpointReader,
    path: str,
    prefix: str | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> Converted:
    """Writes the variables of a checkpoint as a safetensors file.

    They are named as their module's `state_dict` names them (their global names), or, with
    `prefix`, by their paths below it, joined by dots. A tied weight is written once, under its
    first name in the `state_dict`, as `save_pretrained` does. Slots and Python state are left out.
    The file's metadata is `{"format": "pt"}`.

    Args:
      progress: called with (bytes done, bytes in all, key): verified first, then written.
      overwrite: replace a file of this name.

    Raises:
      CheckpointIOError: there is such a file; or the system refused.
      CheckpointMismatchError: two values of one name; `prefix` tells them apart.
      CheckpointUnsupportedError: nothing to write, or a dtype that safetensors has not.
    """
    path = given_path(path)
    if not overwrite:
        _check_free(path)
    graph = reader.graph()
    if graph is None:
        named = {key: key for key in reader.keys() if not reader.dtype(key).hasobject}
    else:
        named = _names(reader, graph, prefix)
    if not named:
        what = f"below {prefix!r}" if prefix is not None else "with a global name; try a prefix"
        raise CheckpointUnsupportedError(f"there is no variable {what}", path=reader.prefix)
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
        _check_free(path)  # to verify takes its time
    # Other loaders want to know whose names and layouts these are. A path with slashes is the
    # global name of a variable of TensorFlow.
    metadata = None if any("/" in name for name in named) else {"format": "pt"}
    write_safetensors(path, arrays, metadata, progress=written)
    left_out = sorted({*reader.keys()} - {*named.values(), GRAPH_KEY})
    return Converted(len(arrays), size, left_out)


def _check_free(path: str) -> None:
    if default_storage().exists(path):
        raise exists_already("a file", path)


def _batches(reader: CheckpointReader, keys: Iterable[str]) -> Iterator[tuple[list[str], int]]:
    """Keys of values that are verified together, and their bytes."""
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


def _names(reader: CheckpointReader, graph: ObjectGraph, prefix: str | None) -> dict[str, str]:
    """Name -> key of what is to be written."""
    names = TensorNames(graph, prefix)
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
                    f"two values have the name {name!r}: this one and {named[name]}; a prefix "
                    "tells which module is meant",
                    path=reader.prefix,
                    key=attribute.checkpoint_key,
                )
            named[name] = attribute.checkpoint_key
    if prefix is None and set(named) == {"save_counter"}:
        return {}
    if prefix is None:
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
    `cp.Checkpoint(model=model).restore(prefix)` finds it; of a file that holds several state
    dicts each goes by its own name (`restore.by_name.file_paths`). What wrapped the module that
    was saved (`module.`, `_orig_mod.`) is left out of the names.

    Args:
      prefix: the checkpoint to write.
      module: path under which the names go; "" for the root itself; None: `model`.
      progress: called with (bytes done, bytes in all, key).
      overwrite: replace a checkpoint that `prefix` names already.

    Raises:
      CheckpointIOError: there is such a checkpoint; or the system refused.
      CheckpointMismatchError: two tensors go to one path.
      CheckpointUnsupportedError: nothing is to be written.
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
                f"{names[key]!r} and {name!r} both go to the path {path}; a prefix tells them "
                "apart",
                path=reader.prefix,
            )
        names[key] = name
        graph.nodes[tree.node_at(split(path))].attributes = [
            Attribute(VARIABLE_VALUE, full_name, key)
        ]
        values_to_write.append(
            ValueToWrite(key, datatype_of(dtype), reader.shape(name), _read_later(reader, name))
        )
        size += reader.stored(name).nbytes
    if not values_to_write:
        raise CheckpointUnsupportedError(
            "nothing in it has a place in a checkpoint: the state of an optimizer goes by the "
            "position of its parameters"
            if reader.dicts.optimizers
            else "no tensor of it can be written",
            path=reader.prefix,
        )
    graph.mark_nodes_with_values()
    values_to_write.append(graph_to_write(graph))
    write_bundle(given_path(prefix), values_to_write, progress=progress, overwrite=overwrite)
    return Converted(len(values_to_write) - 1, size, left_out)


def _read_later(reader: CheckpointReader, name: str) -> Any:
    def read() -> np.ndarray[Any, np.dtype[Any]]:
        return reader.view(name)

    return read
