"""Writing the objects below a root as a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from checkpointable.adapters.watch import look_again
from checkpointable.bundle import BundleWriter, Layout, ValueToWrite, make_layout
from checkpointable.common.gc_pause import collector_paused
from checkpointable.common.logs import logger
from checkpointable.common.types import Attached, Durability, Progress
from checkpointable.errors import at_path, shown_path
from checkpointable.graph.executor import NoContentsError
from checkpointable.graph.object_graph import Attribute, Node, ObjectGraph
from checkpointable.graph.paths import join, path_of_key, value_key
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import ValueSpec, stored_values
from checkpointable.graph.walk import ObjectWalk, walk
from checkpointable.manifest import Signer
from checkpointable.saving.graph_value import graph_to_write
from checkpointable.saving.values_to_write import values_to_write

__all__ = [
    "WriteSettings",
    "layout_of_objects",
    "naming_objects",
    "values_of_objects",
    "write_layout",
]


@dataclass(frozen=True)
class WriteSettings:
    """The checked options of a save.

    Attributes:
      durability: "fsync" or "flush".
      progress: called with (bytes done, total bytes, key).
      signer: signs the manifest. None: there is no manifest.
      max_staging_bytes: the most memory that the copies of an asynchronous save may take. None:
        no limit.
    """

    durability: Durability = "fsync"
    progress: Progress | None = None
    signer: Signer | None = None
    max_staging_bytes: int | None = None


def write_layout(path: str, layout: Layout, settings: WriteSettings) -> None:
    """Writes the values of `layout` as the checkpoint `path`; no state file."""
    with BundleWriter(path, layout, settings.durability, signer=settings.signer) as writer:
        with naming_objects(layout):
            writer.write(progress=settings.progress)
        writer.publish()


@contextmanager
def naming_objects(layout: Layout) -> Iterator[None]:
    """Adds the object's path to the error of a value without contents that is read in the block."""
    try:
        yield
    except NoContentsError as error:
        for placed in layout.values:
            if getattr(placed.value.read, "__self__", None) is error.value:
                raise ValueError(f"{shown_path(path_of_key(placed.value.key))}: {error}") from error
        raise


def layout_of_objects(root: Any, attached: Attached = (), session: Any = None) -> Layout:
    """Returns the layout of the values of the objects below `root`, their graph included."""
    with collector_paused():
        return make_layout(values_of_objects(root, attached, session))


def values_of_objects(
    root: Any, attached: Attached = (), session: Any = None
) -> list[ValueToWrite]:
    """Returns the values of the objects below `root`, the graph of the objects last.

    Args:
      attached: dependencies of the root in addition to those that it tracks.
      session: evaluates values of graph mode (S36).
    """
    look_again()
    objects = walk(root, adapter_of, attached)
    graph = ObjectGraph()
    values = _values(objects, graph)
    graph.mark_nodes_with_values()
    graph_value = graph_to_write(graph)
    del objects, graph
    return [*values_to_write(values, session), graph_value]


def _values(objects: ObjectWalk, graph: ObjectGraph) -> list[tuple[str, ValueSpec]]:
    """Returns (key, value) of each value, and fills `graph`."""
    pairs: list[tuple[str, ValueSpec]] = []
    new, add_node = tuple.__new__, graph.nodes.append
    for node_id, (obj, adapter, children) in enumerate(
        zip(objects.objects, objects.adapters, objects.children, strict=True)
    ):
        if adapter.may_overlook:
            for name, what in adapter.overlooked(obj, objects.node_id):
                logger.warning("%s is not saved: %s", join(objects.path(node_id), name), what)
        node = Node(children)
        add_node(node)
        slots = objects.slot_variables.get(node_id)
        if slots:
            node.slot_variables = slots
        try:
            values = adapter.values(obj)
        except Exception as error:
            at_path(error, objects.path(node_id))
            raise
        if not values:
            continue
        path = objects.path(node_id)
        full_name = objects.full_name(node_id)
        attributes = []
        for attribute, made in values.items():
            key = value_key(path, attribute)
            value = made if isinstance(made, ValueSpec) else made(key)
            if value.absent:
                continue
            # Without the named tuple's slower constructor: this runs once for each value.
            attributes.append(new(Attribute, (attribute, full_name, key)))
            if value.parts is None:
                pairs.append((key, value))
            else:
                pairs += stored_values(key, value)
        node.attributes = attributes
    return pairs
