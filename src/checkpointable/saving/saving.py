"""Writing the objects below a root as a checkpoint; what every `save` and `write` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from checkpointable.adapters.watch import look_again
from checkpointable.bundle import BundleWriter, DataType, Layout, ValueToWrite, make_layout
from checkpointable.common.gc_pause import collector_paused
from checkpointable.common.logs import logger
from checkpointable.common.types import Attached, Durability, Progress
from checkpointable.common.working_directory import absolute_path
from checkpointable.errors import at_path, shown_path
from checkpointable.graph.encoding import encode_graph
from checkpointable.graph.executor import NoContentsError
from checkpointable.graph.object_graph import Attribute, Node, ObjectGraph
from checkpointable.graph.paths import GRAPH_KEY, join, path_of_key, value_key
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import Value, as_string_array, stored_values
from checkpointable.graph.walk import ObjectWalk, walk
from checkpointable.manifest import Signer
from checkpointable.saving.values_to_write import values_to_write

__all__ = ["naming_objects", "layout_of_objects", "values_of_objects", "write_objects"]


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
    path = absolute_path(prefix)  # another thread may go to another directory meanwhile
    layout = layout_of_objects(root, attached, session)
    with BundleWriter(path, layout, durability, signer=signer) as writer:
        with naming_objects(layout):
            writer.write(progress=progress)
        writer.publish()


@contextmanager
def naming_objects(layout: Layout) -> Iterator[None]:
    """Adds the path of the object to errors about values without contents."""
    try:
        yield
    except NoContentsError as error:
        for placed in layout.values:
            if getattr(placed.value.read, "__self__", None) is error.value:
                raise ValueError(f"{shown_path(path_of_key(placed.value.key))}: {error}") from error
        raise


def layout_of_objects(root: Any, attached: Attached = (), session: Any = None) -> Layout:
    """What is to be written of the objects below `root`, their graph included, and where."""
    with collector_paused():
        return make_layout(values_of_objects(root, attached, session))


def values_of_objects(
    root: Any, attached: Attached = (), session: Any = None
) -> list[ValueToWrite]:
    """What is to be written of the objects below `root`, their graph included."""
    look_again()
    found = walk(root, adapter_of, attached)
    graph = ObjectGraph()
    values = _values(found, graph)
    graph.mark_nodes_with_values()
    encoded = encode_graph(graph)
    del found, graph
    to_write = values_to_write(values, session)
    to_write.append(
        ValueToWrite(GRAPH_KEY, DataType.DT_STRING, (), lambda: as_string_array(encoded, GRAPH_KEY))
    )
    return to_write


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
        except Exception as error:
            at_path(error, found.path(node_id))
            raise
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
