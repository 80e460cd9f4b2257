"""CheckpointableSaver: saves the graph of objects below a root, and restores it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from checkpointable.adapters.registry import adapter_of
from checkpointable.bundle import BundleReader, DataType, Record, datatype_of, write_bundle
from checkpointable.errors import CheckpointCorruptError
from checkpointable.graph.encoding import decode_graph, encode_graph
from checkpointable.graph.object_graph import Attribute, Node, ObjectGraph
from checkpointable.graph.paths import GRAPH_KEY, value_key
from checkpointable.graph.value import STRING, Value, as_string_array
from checkpointable.graph.walk import ObjectWalk, walk
from checkpointable.management import checkpoint_prefix, update_checkpoint_state
from checkpointable.restore import Restore, Verify
from checkpointable.status import CheckpointLoadStatus, InitializationOnlyStatus, LoadStatus

__all__ = ["CheckpointableSaver", "Durability"]

Durability = Literal["fsync", "flush"]
Path = str | os.PathLike[str]
Progress = Callable[[int, int, str], None]
Attached = Sequence[tuple[str, Any]]


class CheckpointableSaver:
    """Saves and restores an object and all that it is built of.

        saver = cp.CheckpointableSaver(model)
        path = saver.save("runs/a/ckpt", 1)       # runs/a/ckpt-1
        saver.restore(path).assert_consumed()

    Args:
      root_checkpointable: the object to start from; names are paths from it.

    Raises:
      TypeError: the root takes no part in checkpointing.
    """

    def __init__(self, root_checkpointable: Any) -> None:
        if adapter_of(root_checkpointable) is None:
            raise TypeError(
                f"cannot save a {type(root_checkpointable).__name__}: it is neither a "
                "Checkpointable nor an object of a framework that an adapter knows"
            )
        self._root = root_checkpointable

    def save(
        self,
        file_prefix: Path,
        checkpoint_number: Any = None,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
    ) -> str:
        """Writes a checkpoint and makes it the directory's latest (S14).

        Args:
          file_prefix: directory and beginning of the files' names; directories are made.
          checkpoint_number: appended as `-<number>`: an int, or a scalar variable or tensor.
          session: the session that evaluates variables in graph mode; ignored eagerly.
          durability: "fsync": files and directory are synced before it returns; "flush": they
            survive the process, not a crash of the machine.
          progress: called with (bytes done, bytes in all, key) as it goes.

        Returns:
          The checkpoint's full path, to be given to `restore`.

        Raises:
          ValueError, NotImplementedError: an object cannot be saved as it stands; the message
            names its path.
          CheckpointIOError: the system refused; the checkpoints that were there still are.
        """
        prefix = numbered_prefix(file_prefix, checkpoint_number)
        write_objects(self._root, prefix, durability=durability, progress=progress)
        update_checkpoint_state(os.path.dirname(prefix), prefix, durability=durability)
        return prefix

    def restore(self, save_path: Path | None, *, verify: Verify = True) -> LoadStatus:
        """Restores the objects below the root, those that exist now and those still to come.

        Args:
          save_path: what `save` returned; also an `.index` file, or a directory (its latest
            checkpoint). None: nothing is restored, see `InitializationOnlyStatus` (S32).
          verify: True: every checksum of what is about to be assigned is verified before the
            first variable changes. "stream": each is verified while it is assigned. False:
            none is.

        Returns:
          A status, which says exactly what was and was not restored.

        Raises:
          CheckpointNotFoundError, CheckpointCorruptError, CheckpointUnsupportedError,
          CheckpointMismatchError: no variable was changed.
        """
        return restore_objects(self._root, save_path, verify=verify)


def numbered_prefix(file_prefix: Path, checkpoint_number: Any) -> str:
    """`<prefix>-<number>`, or the prefix itself if there is no number."""
    prefix = os.fspath(file_prefix)
    if not isinstance(prefix, str):
        raise TypeError(f"file_prefix is a str or a path, not {type(prefix).__name__}")
    if checkpoint_number is not None:
        return f"{prefix}-{_as_int(checkpoint_number)}"
    if not os.path.basename(prefix):
        raise ValueError(
            f"file_prefix {prefix!r} names a directory: add the beginning of the files' names, "
            "as in 'directory/ckpt'"
        )
    return prefix


def _as_int(number: Any) -> int:
    """The value of an int, or of a scalar variable or tensor of any framework."""
    if hasattr(number, "__index__") and not hasattr(number, "numpy"):
        return int(number.__index__())
    array = np.asarray(number.detach() if hasattr(number, "detach") else number)
    if array.size != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"checkpoint_number is one integer, not dtype {array.dtype}, shape {array.shape}"
        )
    return int(array.reshape(()))


def write_objects(
    root: Any,
    prefix: str,
    *,
    attached: Attached = (),
    durability: Durability = "fsync",
    progress: Progress | None = None,
) -> None:
    """Writes the objects below `root` as the checkpoint `prefix`; no state file."""
    found = walk(root, adapter_of, attached)
    graph = ObjectGraph()
    records = list(_records(found, graph))
    graph.mark_nodes_with_values()
    encoded = encode_graph(graph)
    records.append(
        Record(GRAPH_KEY, DataType.DT_STRING, (), lambda: as_string_array(encoded, GRAPH_KEY))
    )
    write_bundle(prefix, records, durability=durability, progress=progress)


def _records(found: ObjectWalk, graph: ObjectGraph) -> Iterator[Record]:
    """What is to be written; fills `graph` as it goes."""
    for node_id, obj in enumerate(found.objects):
        adapter = found.adapters[node_id]
        node = Node(children=found.children[node_id])
        graph.nodes.append(node)
        slots = found.slot_variables.get(node_id)
        if slots:
            node.slot_variables = slots
        try:
            values = adapter.values(obj)
        except (ValueError, NotImplementedError) as error:
            raise type(error)(f"{found.path(node_id) or 'the root'}: {error}") from error
        if not values:
            continue
        path = found.path(node_id)
        full_name = adapter.full_name(obj)
        attributes = []
        for attribute, made in values.items():
            key = value_key(path, attribute)
            value = made if isinstance(made, Value) else made(key)
            attributes.append(Attribute(attribute, full_name, key))
            yield _record(key, value)
        node.attributes = attributes


def _record(key: str, value: Value) -> Record:
    if value.dtype == STRING:

        def read() -> np.ndarray[Any, np.dtype[Any]]:
            return as_string_array(value.read(), key)

        # Its size must be known before anything is written, and so must its shape.
        array = read()
        _check_shape(key, value, array.shape)
        return Record(key, DataType.DT_STRING, array.shape, lambda: array)
    if value.shape is None:
        array = np.asarray(value.read())
        return Record(key, datatype_of(value.dtype), array.shape, lambda: array)
    return Record(key, datatype_of(value.dtype), value.shape, value.read)


def _check_shape(key: str, value: Value, shape: tuple[int, ...]) -> None:
    if value.shape is not None and value.shape != shape:
        raise ValueError(f"{key}: the value says shape {value.shape}, but holds {shape}")


def restore_objects(
    root: Any, save_path: Path | None, *, attached: Attached = (), verify: Verify = True
) -> LoadStatus:
    """What every `restore` and `read` does."""
    if save_path is None:
        return InitializationOnlyStatus()
    reader = BundleReader(checkpoint_prefix(save_path))
    try:
        restore = _start(reader, verify)
    except BaseException:
        reader.close()
        raise
    try:
        restore.attach(0, root, attached)
    except BaseException:
        restore.expect_partial()  # the error says more than the warning would
        raise
    return CheckpointLoadStatus(restore, root, attached)


def _start(reader: BundleReader, verify: Verify) -> Restore:
    if GRAPH_KEY not in reader:
        raise NotImplementedError("name-based")
    data = read_graph(reader)
    graph = decode_graph(data, reader.prefix)
    return Restore(reader, graph, fingerprint=hashlib.blake2b(data).digest(), verify=verify)


def read_graph(reader: BundleReader) -> bytes:
    """The encoded object graph of a checkpoint that has one."""
    data = reader.get_tensor(GRAPH_KEY)
    if not isinstance(data, bytes):
        raise CheckpointCorruptError(
            "the object graph is a scalar string, but here it is "
            f"{reader.dtype(GRAPH_KEY)} of shape {reader.shape(GRAPH_KEY)}",
            path=f"{reader.prefix}.index",
            key=GRAPH_KEY,
        )
    return data
