"""The object graph's message: TensorFlow's `TrackableObjectGraph`, byte for byte (S12).

    TrackableObjectGraph    1 nodes[]
    node                    1 children[] 2 attributes[] 3 slot_variables[]
                            4 registered_saver 5 has_checkpoint_values
    child                   1 node_id 2 local_name
    attribute               1 name 2 full_name 3 checkpoint_key
    slot variable           1 original_variable_node_id 2 slot_name 3 slot_variable_node_id
    registered saver        1 name 2 object_name
    has_checkpoint_values   1 value (google.protobuf.BoolValue)

Source: tensorflow/core/protobuf/trackable_object_graph.proto (r1.11 has fields 1-3 alone).
"""

from __future__ import annotations

import functools
from typing import Any

from checkpointable._protobuf import message_classes
from checkpointable.errors import CheckpointCorruptError
from checkpointable.graph.object_graph import Attribute, Child, Node, ObjectGraph, SlotVariable
from checkpointable.graph.paths import GRAPH_KEY

__all__ = ["decode_graph", "encode_graph", "graph_message_class"]

_NODES_TAG = 0x0A  # field 1, length-delimited
# Every node but the root costs at least an empty field of its own and an edge that leads to
# it. What is smaller is no graph, and must not make more objects than bytes can pay for.
_LEAST_BYTES_PER_NODE = 6


@functools.cache
def _classes() -> dict[str, type[Any]]:
    return message_classes(
        "checkpointable/object_graph.proto",
        "checkpointable",
        {
            "ObjectGraph": [("nodes", 1, "message", "repeated", "Node")],
            "Node": [
                ("children", 1, "message", "repeated", "Child"),
                ("attributes", 2, "message", "repeated", "Attribute"),
                ("slot_variables", 3, "message", "repeated", "SlotVariable"),
                ("registered_saver", 4, "message", "", "RegisteredSaver"),
                ("has_checkpoint_values", 5, "message", "", "BoolValue"),
            ],
            "Child": [("node_id", 1, "int32"), ("local_name", 2, "string")],
            "Attribute": [
                ("name", 1, "string"),
                ("full_name", 2, "string"),
                ("checkpoint_key", 3, "string"),
            ],
            "SlotVariable": [
                ("original_variable_node_id", 1, "int32"),
                ("slot_name", 2, "string"),
                ("slot_variable_node_id", 3, "int32"),
            ],
            "RegisteredSaver": [("name", 1, "string"), ("object_name", 2, "string")],
            "BoolValue": [("value", 1, "bool")],
        },
    )


def graph_message_class() -> type[Any]:
    """The message class of the whole graph, for work that must keep unknown fields."""
    return _classes()["ObjectGraph"]


def encode_graph(graph: ObjectGraph) -> bytes:
    """The message's bytes, the same for the same graph."""
    message = graph_message_class()()
    for node in graph.nodes:
        target = message.nodes.add()
        for child in node.children:
            target.children.add(node_id=child.node_id, local_name=child.local_name)
        for attribute in node.attributes:
            target.attributes.add(
                name=attribute.name,
                full_name=attribute.full_name,
                checkpoint_key=attribute.checkpoint_key,
            )
        for slot in node.slot_variables:
            target.slot_variables.add(
                original_variable_node_id=slot.original_variable_node_id,
                slot_name=slot.slot_name,
                slot_variable_node_id=slot.slot_variable_node_id,
            )
        if node.registered_saver is not None:
            target.registered_saver.name = node.registered_saver[0]
            target.registered_saver.object_name = node.registered_saver[1]
        if node.has_checkpoint_values is not None:
            # Written also when false: TensorFlow then knows that nothing waits below.
            target.has_checkpoint_values.SetInParent()
            target.has_checkpoint_values.value = node.has_checkpoint_values
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def decode_graph(data: bytes, path: str) -> ObjectGraph:
    """The graph in `data`, checked: every edge leads to a node, no name stands twice.

    Args:
      data: the message's bytes.
      path: the checkpoint, for messages.

    Raises:
      CheckpointCorruptError: it is no object graph.
    """
    from google.protobuf.message import DecodeError

    graph = ObjectGraph()
    spans = _node_spans(data, path)
    node_class = _classes()["Node"]
    for node_id, (start, end) in enumerate(spans):
        try:
            message = node_class.FromString(data[start:end])
        except (DecodeError, ValueError) as error:
            raise _corrupt(path, f"object graph: node {node_id} does not parse: {error}") from None
        graph.nodes.append(_decode_node(message, node_id, len(spans), path))
    return graph


def _corrupt(path: str, what: str) -> CheckpointCorruptError:
    return CheckpointCorruptError(what, path=path, key=GRAPH_KEY)


def _node_spans(data: bytes, path: str) -> list[tuple[int, int]]:
    """Where each node's bytes stand, found without building anything."""
    spans: list[tuple[int, int]] = []
    position = 0
    while position < len(data):
        tag, position = _varint(data, position, path)
        if tag == _NODES_TAG:
            length, position = _varint(data, position, path)
            if length > len(data) - position:
                raise _corrupt(
                    path,
                    f"object graph: node {len(spans)} claims {length} bytes at byte {position} "
                    f"of {len(data)}",
                )
            spans.append((position, position + length))
            position += length
        else:
            position = _skip_field(data, position, tag, path)
    if not spans:
        raise _corrupt(path, "object graph: has no root node")
    if (len(spans) - 1) * _LEAST_BYTES_PER_NODE > len(data):
        raise _corrupt(
            path, f"object graph: {len(spans)} nodes in {len(data)} bytes cannot all be reached"
        )
    return spans


def _varint(data: bytes, position: int, path: str) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _corrupt(path, f"object graph: bad number before byte {position} of {len(data)}")


def _skip_field(data: bytes, position: int, tag: int, path: str) -> int:
    """The end of a field that a newer writer added."""
    wire_type = tag & 7
    if wire_type == 0:
        return _varint(data, position, path)[1]
    if wire_type == 2:
        length, position = _varint(data, position, path)
        end = position + length
    elif wire_type in (1, 5):
        end = position + (8 if wire_type == 1 else 4)
    else:
        raise _corrupt(path, f"object graph: field of unknown wire type {wire_type}")
    if end > len(data):
        raise _corrupt(path, f"object graph: a field ends at byte {end} of {len(data)}")
    return end


def _decode_node(message: Any, node_id: int, node_count: int, path: str) -> Node:
    node = Node()
    if message.children:
        node.children = [Child(c.node_id, c.local_name) for c in message.children]
        _check_ids((c.node_id for c in node.children), node_id, node_count, path)
        _check_names((c.local_name for c in node.children), node_id, "dependencies", path)
    if message.attributes:
        node.attributes = [
            Attribute(a.name, a.full_name, a.checkpoint_key) for a in message.attributes
        ]
        _check_names((a.name for a in node.attributes), node_id, "values", path)
    if message.slot_variables:
        node.slot_variables = [
            SlotVariable(s.original_variable_node_id, s.slot_name, s.slot_variable_node_id)
            for s in message.slot_variables
        ]
        for slot in node.slot_variables:
            ids = (slot.original_variable_node_id, slot.slot_variable_node_id)
            _check_ids(ids, node_id, node_count, path)
        _check_names(
            ((s.original_variable_node_id, s.slot_name) for s in node.slot_variables),
            node_id,
            "slots",
            path,
        )
    if message.HasField("registered_saver"):
        saver = message.registered_saver
        node.registered_saver = (saver.name, saver.object_name)
    if message.HasField("has_checkpoint_values"):
        node.has_checkpoint_values = message.has_checkpoint_values.value
    return node


def _check_ids(ids: Any, node_id: int, node_count: int, path: str) -> None:
    for target in ids:
        if not 0 <= target < node_count:
            raise _corrupt(
                path,
                f"object graph: node {node_id} refers to node {target}, but there are {node_count}",
            )


def _check_names(names: Any, node_id: int, what: str, path: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise _corrupt(path, f"object graph: node {node_id} has two {what} named {name!r}")
        seen.add(name)
