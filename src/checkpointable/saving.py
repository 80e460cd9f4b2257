"""Writing the objects below a root as a checkpoint; what every `save` and `write` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from checkpointable.adapters.frameworks import evaluated
from checkpointable.adapters.registry import adapter_of
from checkpointable.adapters.watch import look_again
from checkpointable.bundle import BundleWriter, DataType, Plan, Record, datatype_of, plan_layout
from checkpointable.collector import collector_paused
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.encoding import encode_graph
from checkpointable.graph.executor import NoContentsError
from checkpointable.graph.object_graph import Attribute, Node, ObjectGraph
from checkpointable.graph.paths import GRAPH_KEY, join, value_key
from checkpointable.graph.value import (
    STRING,
    VARIANT,
    AtOnce,
    Value,
    as_string_array,
    fits,
    stored_values,
)
from checkpointable.graph.walk import ObjectWalk, walk
from checkpointable.logs import logger
from checkpointable.manifest import Signer
from checkpointable.restore.executors import by_executor

__all__ = [
    "Attached",
    "Durability",
    "Path",
    "Progress",
    "numbered_prefix",
    "plan_of_objects",
    "records_of_objects",
    "records_of_values",
    "write_objects",
]

Durability = Literal["fsync", "flush"]
Path = str | os.PathLike[str]
Progress = Callable[[int, int, str], None]
Attached = Sequence[tuple[str, Any]]


def numbered_prefix(file_prefix: Path, checkpoint_number: Any, session: Any = None) -> str:
    """`<prefix>-<number>`, or the prefix itself if there is no number.

    Args:
      session: evaluates a number that is a variable of graph mode (S36).
    """
    prefix = os.fspath(file_prefix)
    if not isinstance(prefix, str):
        raise TypeError(f"file_prefix is a str or a path, not {type(prefix).__name__}")
    if checkpoint_number is not None:
        return f"{prefix}-{_as_int(checkpoint_number, session)}"
    if not os.path.basename(prefix):
        raise ValueError(
            f"file_prefix {prefix!r} names a directory: add the beginning of the files' names, "
            "as in 'directory/ckpt'"
        )
    return prefix


def _as_int(number: Any, session: Any) -> int:
    """The value of an int, or of a scalar variable or tensor of any framework."""
    if isinstance(number, int | np.integer):
        return int(number)
    array = _number_in_graph(number, session)
    if array is None:
        array = np.asarray(number.detach() if hasattr(number, "detach") else number)
    if array.size != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"checkpoint_number is one integer, not dtype {array.dtype}, shape {array.shape}"
        )
    return int(array.reshape(()))


def _number_in_graph(number: Any, session: Any) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The value of a variable or tensor of graph mode; None for anything else."""
    adapter = adapter_of(number)
    values = {} if adapter is None else adapter.values(number)
    for value in values.values():
        if isinstance(value, Value) and value.executor is not None:
            return np.asarray(value.executor.read([value], session)[0])
    return evaluated(number, session)


def write_objects(
    root: Any,
    prefix: str,
    *,
    attached: Attached = (),
    session: Any = None,
    durability: Durability = "fsync",
    progress: Progress | None = None,
    signer: Signer | None = None,
) -> None:
    """Writes the objects below `root` as the checkpoint `prefix`; no state file."""
    plan = plan_of_objects(root, attached, session)
    with BundleWriter(prefix, plan, durability, signer=signer) as writer:
        writer.write(progress=progress)
        writer.publish()


def plan_of_objects(root: Any, attached: Attached = (), session: Any = None) -> Plan:
    """What is to be written of the objects below `root`, their graph included, and where."""
    with collector_paused():
        return plan_layout(records_of_objects(root, attached, session))


def records_of_objects(root: Any, attached: Attached = (), session: Any = None) -> list[Record]:
    """What is to be written of the objects below `root`, their graph included."""
    look_again()
    found = walk(root, adapter_of, attached)
    graph = ObjectGraph()
    values = _values(found, graph)
    graph.mark_nodes_with_values()
    encoded = encode_graph(graph)
    del found, graph
    records = records_of_values(values, session)
    records.append(
        Record(GRAPH_KEY, DataType.DT_STRING, (), lambda: as_string_array(encoded, GRAPH_KEY))
    )
    return records


def _values(found: ObjectWalk, graph: ObjectGraph) -> list[tuple[str, Value]]:
    """(key, value) of what is to be written; fills `graph` as it goes."""
    pairs: list[tuple[str, Value]] = []
    new, add_node = tuple.__new__, graph.nodes.append
    for node_id, (obj, adapter, children) in enumerate(
        zip(found.objects, found.adapters, found.children, strict=True)
    ):
        if adapter.may_overlook:
            for name, what in adapter.overlooked(obj, found.node_id):
                place = join(found.path(node_id), name)
                logger.warning("%s is not saved: %s", place, what)
        node = Node(children)
        add_node(node)
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
        full_name = found.full_name(node_id)
        attributes = []
        for attribute, made in values.items():
            key = value_key(path, attribute)
            value = made if isinstance(made, Value) else made(key)
            if value.absent:
                continue
            # Past the class's own, slower way of being made: one a value.
            attributes.append(new(Attribute, (attribute, full_name, key)))
            if value.parts is None:
                pairs.append((key, value))
            else:
                pairs += stored_values(key, value)
        node.attributes = attributes
    return pairs


def _same(contents: Any) -> Any:
    return contents


def records_of_values(values: Sequence[tuple[str, Value]], session: Any = None) -> list[Record]:
    """What is to be written, (key, value) each.

    Args:
      session: evaluates values of graph mode (S36).
    """
    evaluated: dict[str, Any] = {}
    for executor, own in by_executor(values):
        try:
            contents = executor.read([value for _, value in own], session)
        except NoContentsError as error:
            # The value knows what is wrong, its key where it is.
            key = next(key for key, value in own if value is error.value)
            raise ValueError(f"{_path(key)}: {error}") from error
        evaluated.update(zip((key for key, _ in own), contents, strict=True))
    if evaluated:
        values = [
            (key, _Evaluated(value, evaluated[key]) if key in evaluated else value)
            for key, value in values
        ]
    new = tuple.__new__
    return [
        _record(key, value)
        if value.dtype.hasobject or value.shape is None or None in value.shape
        else new(Record, (key, _datatype(key, value), value.shape, read, (), value.fresh))
        for (key, value), read in zip(values, _readers(values), strict=True)
    ]


def _readers(values: Sequence[tuple[str, Value]]) -> list[Callable[[], Any]]:
    """What reads each value: it itself, or what gives what was read of many at once."""
    readers: list[Callable[[], Any]] = []
    groups: dict[AtOnce, list[int]] = {}
    for position, (_, value) in enumerate(values):
        readers.append(value.read)
        if value.at_once is not None and not value.dtype.hasobject:
            groups.setdefault(value.at_once, []).append(position)
    for at_once, positions in groups.items():
        found = at_once.read([values[position][1] for position in positions])
        for position, contents in zip(positions, found, strict=True):
            if contents is not None:
                readers[position] = partial(_same, contents)
    return readers


class _Evaluated(Value):
    """A value of graph mode with its contents."""

    __slots__ = ()

    fresh = True

    def __init__(self, value: Value, contents: Any) -> None:
        super().__init__(value.dtype, value.shape, lambda: contents, value.write)


def _record(key: str, value: Value) -> Record:
    """What is to be written under `key` for a value whose size is not known yet: as it is now.

    Raises:
      ValueError: strings of another shape than the value says.
      TypeError: a string value that gives something else.
    """
    if value.dtype == STRING:
        # Its size must be known before anything is written, and so must its shape.
        array = as_string_array(_read(key, value), key)
        _check_shape(key, value, array.shape)
        return Record(key, DataType.DT_STRING, array.shape, lambda: array)
    if value.dtype == VARIANT:
        array = _read(key, value)
        return Record(key, DataType.DT_VARIANT, array.shape, lambda: array)
    array = np.asarray(_read(key, value))
    return Record(key, _datatype(key, value), array.shape, lambda: array, (), value.fresh)


def _read(key: str, value: Value) -> Any:
    try:
        return value.read()
    except NoContentsError as error:
        raise ValueError(f"{_path(key)}: {error}") from error


def _path(key: str) -> str:
    """The path of the object that has the value of this key."""
    return key.rpartition("/.ATTRIBUTES/")[0] or "the root"


def _datatype(key: str, value: Value) -> DataType:
    try:
        return datatype_of(value.dtype)
    except CheckpointUnsupportedError as error:
        # The format knows what it has no place for, only the key where that is.
        raise CheckpointUnsupportedError(error.what, key=key) from None


def _check_shape(key: str, value: Value, shape: tuple[int, ...]) -> None:
    if not fits(shape, value.shape):
        raise ValueError(f"{key}: the value says shape {value.shape}, but holds {shape}")
