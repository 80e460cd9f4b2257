"""The object graph's message: TensorFlow's `TrackableObjectGraph`, byte for byte (S12).

    TrackableObjectGraph    1 nodes[]
    node                    1 children[] 2 attributes[] 3 slot_variables[]
                            4 registered_saver 5 has_checkpoint_values
    child                   1 node_id 2 local_name
    attribute               1 name 2 full_name 3 checkpoint_key
    slot variable           1 original_variable_node_id 2 slot_name 3 slot_variable_node_id
    registered saver        1 name 2 object_name
    has_checkpoint_values   1 value (google.protobuf.BoolValue)

Source: tensorflow/core/protobuf/trackable_object_graph.proto (r1.11 has only fields 1-3).
"""

from __future__ import annotations

import functools
from typing import Any

from checkpointable.wire.messages import message_classes

__all__ = ["NODES", "graph_message_class"]

NODES = 1  # the field of the whole message that has the nodes


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
    """Returns the message class of the whole graph. Its objects keep unknown fields."""
    return _classes()["ObjectGraph"]
