"""Protobuf message classes outside the process-wide descriptor pool.

TensorFlow registers `tensorflow.BundleEntryProto` and related messages in the default pool, where
a second definition is an error at import. Generated code works only with a range of protobuf
versions. So messages are declared as plain data, and built in a private pool when first needed.
Works with protobuf 4 to 7 and all its implementations.

    classes = message_classes(
        "checkpointable/point.proto",
        "checkpointable.example",
        {
            "Point": [("x", 1, "int32"), ("y", 2, "int32")],
            "Line": [("name", 1, "string"), ("points", 2, "message", "repeated", "Point")],
        },
    )
    line = classes["Line"](name="a")

All messages are proto3: message fields have presence, scalar fields without a label do not.
Fields that a newer writer added survive parsing and serializing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

__all__ = ["FieldSpec", "MessageSpec", "message_classes"]

# (name, number, type[, label[, message type name]]):
#   type: a scalar's name as in a .proto file ("int32", "fixed32", "bytes", …) or "message";
#         an enum is declared as "int32", which has the same bytes for values that are not
#         negative and keeps numbers that a newer writer added.
#   label: "" (or None), "repeated", or "optional" (a scalar that knows whether it is set,
#          as the members of a oneof do).
#   message type name: that of another message of the same spec, for type "message".
FieldSpec = (
    tuple[str, int, str] | tuple[str, int, str, str | None] | tuple[str, int, str, str | None, str]
)
MessageSpec = Mapping[str, Sequence[FieldSpec]]

_LABELS = ("", "repeated", "optional")


def message_classes(file_name: str, package: str, messages: MessageSpec) -> dict[str, type[Any]]:
    """Builds message classes in a private pool.

    Call it when a message is first needed, because it imports protobuf (30-100 ms), and keep the
    result: each call makes a new pool with new classes.

    Args:
      file_name: the name of the definitions in the pool, such as "checkpointable/x.proto".
      package: the package of the messages' full names; "" for none.
      messages: name -> fields, see `FieldSpec`.

    Returns:
      Name -> message class, for each name in `messages`.

    Raises:
      ValueError: an unknown type, label or message name in the specification.
    """
    from google.protobuf import descriptor_pool, message_factory

    file = _file_descriptor(file_name, package, messages)
    pool = descriptor_pool.DescriptorPool()
    # From bytes: the one form of `Add` that all implementations of 4 to 7 share.
    pool.AddSerializedFile(file.SerializeToString())
    prefix = f"{package}." if package else ""
    make_class = getattr(message_factory, "GetMessageClass", None)
    if make_class is None:  # before 4.22
        make_class = message_factory.MessageFactory(pool).GetPrototype  # type: ignore[attr-defined]
    return {name: make_class(pool.FindMessageTypeByName(prefix + name)) for name in messages}


def _file_descriptor(file_name: str, package: str, messages: MessageSpec) -> FileDescriptorProto:
    from google.protobuf import descriptor_pb2

    proto = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=file_name, package=package, syntax="proto3")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for spec in fields:
            name, number, type_name = spec[:3]
            label = (spec[3] if len(spec) > 3 else None) or ""
            target = spec[4] if len(spec) > 4 else None
            where = f"field {message_name}.{name}"
            if label not in _LABELS:
                raise ValueError(f"{where}: label {label!r} is not one of {_LABELS}")
            if (type_name == "message") != (target is not None):
                raise ValueError(f"{where}: only fields of type 'message' have a message type name")
            if target is not None and target not in messages:
                raise ValueError(f"{where}: message type {target!r} is not in this file")
            kind = getattr(proto, f"TYPE_{type_name.upper()}", None)
            if kind is None:
                raise ValueError(f"{where}: unknown type {type_name!r}")
            field = message.field.add(
                name=name,
                number=number,
                type=kind,
                label=proto.LABEL_REPEATED if label == "repeated" else proto.LABEL_OPTIONAL,
            )
            if target is not None:
                field.type_name = f".{package}.{target}" if package else f".{target}"
            if label == "optional":
                # proto3 tracks presence by a oneof with this field as its only member.
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{name}")
    return file
