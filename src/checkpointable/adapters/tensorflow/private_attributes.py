"""The private attributes of TensorFlow and Keras objects that this package reads.

Continues `private_api.py`. Attributes of classes are checked when this module is imported.
Attributes that an initializer sets are checked when they are read.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, methodcaller
from typing import Any

import tensorflow as tf

from checkpointable.adapters.tensorflow.private_api import BaseResourceVariable, Trackable, required


def _attribute(path: str, use: str) -> Any:
    """Returns a function that reads the attribute at `path`, as fast as the interpreter does."""
    required(path, use)
    return attrgetter(path.rpartition(".")[-1])


def _method(path: str, use: str) -> Any:
    """Returns a function that calls the method at `path`."""
    required(path, use)
    return methodcaller(path.rpartition(".")[-1])


# Objects that TensorFlow tracks.
prepare = _method(
    "trackable.base:Trackable._maybe_initialize_trackable", "create the attributes below"
)
children_of = _method(
    "trackable.base:Trackable._trackable_children",
    "list the dependencies of an object: name -> dependency",
)
lookup_in = _attribute(
    "trackable.base:Trackable._lookup_dependency", "find one dependency by its name"
)
waiting_in = _attribute(
    "trackable.base:Trackable._deferred_dependencies", "restore on create: name -> positions"
)
last_restore = _attribute(
    "trackable.base:Trackable._update_uid", "see that TensorFlow took an initial value"
)
serialize_to_tensors = _method(
    "trackable.base:Trackable._serialize_to_tensors", "read an object: name -> tensor"
)
saveable_factories = _method(
    "trackable.base:Trackable._gather_saveables_for_checkpoint",
    "read an object by saveables: name -> factory",
)


def restore_from_tensors(obj: Any, tensors: dict[str, Any]) -> Any:
    """Gives `obj` the contents of `tensors`, named as `serialize_to_tensors` names them."""
    return obj._restore_from_tensors(tensors)


def has_listed_children_only(cls: type) -> bool:
    """Returns whether objects of `cls` have only the dependencies that TensorFlow lists."""
    same: bool = cls._trackable_children is Trackable._trackable_children  # type: ignore[attr-defined]
    return same


def has_listed_children(obj: Any) -> bool:
    """Returns whether TensorFlow lists dependencies of `obj`."""
    return bool(getattr(obj, "_self_unconditional_checkpoint_dependencies", None))


def is_stored_as_variable(cls: Any) -> bool:
    """Returns whether objects of `cls` are resource variables that are stored in the usual form."""
    plain = BaseResourceVariable._serialize_to_tensors
    return issubclass(cls, BaseResourceVariable) and cls._serialize_to_tensors is plain


def offers_values(obj: Any) -> bool:
    """Returns whether `obj` may have values to save. Most tracked objects have none."""
    cls = type(obj)
    if (
        cls._serialize_to_tensors is not Trackable._serialize_to_tensors
        or cls._gather_saveables_for_checkpoint is not Trackable._gather_saveables_for_checkpoint
    ):
        return True
    # An object that was loaded from a SavedModel has them as attributes of the object.
    attributes = getattr(obj, "__dict__", {})
    return "_serialize_to_tensors" in attributes or bool(
        attributes.get("_self_saveable_object_factories")
    )


def restore_number(obj: Any) -> int:
    """Returns TensorFlow's number of the last restore that set the value of `obj`; -1 if none."""
    number: int = getattr(obj, "_self_update_uid", -1)
    return number


def set_restore_number(obj: Any, number: int) -> None:
    """Notes in TensorFlow that the restore of this number set `obj`, unless a later one did."""
    # Bypasses the property `_update_uid`, because this runs for every variable.
    try:
        known = obj._self_update_uid
    except AttributeError:
        prepare(obj)
        known = obj._self_update_uid
    if known < number:
        obj._self_update_uid = number


# Variables, tensors, tables.
shared_name = _attribute(
    "ops.resource_variable_ops:BaseResourceVariable._shared_name", "know a variable's global name"
)
# None, or the read that was created with a variable of a graph.
graph_element_of = _method(
    "ops.resource_variable_ops:BaseResourceVariable._as_graph_element", "read it without adding one"
)
in_graph_mode = attrgetter("_in_graph_mode")
# As Python numbers and None; `as_list` takes ten times as long.
dimensions = _attribute("framework.tensor_shape:TensorShape._dims", "read a shape")
array_of = _method("framework.ops:EagerTensor._numpy", "read a tensor's memory without a copy")
default_value = attrgetter("_default_value")  # of a table


def slice_info(variable: Any) -> Any | None:
    """Returns the position of a part in its partitioned variable; None for a whole variable."""
    return getattr(variable, "_save_slice_info", None)


def copies_of(variable: Any) -> tuple[Any, ...]:
    """Returns the copies of a mirrored variable; reads use the first."""
    first = variable._primary
    return (first, *(copy for copy in variable._values if copy is not first))


def resource_of(obj: Any) -> Any | None:
    """Returns the resource of a table or an iterator; None for other objects."""
    handle = getattr(obj, "resource_handle", None)
    return getattr(obj, "_iterator_resource", None) if handle is None else handle


def initializer_of(obj: Any) -> Any | None:
    """Returns the operation of a graph that initializes `obj`; None if there is none."""
    for name in ("initializer", "_init_op"):  # the latter is that of a `tf.lookup` table
        try:
            initializer = getattr(obj, name, None)
        except ValueError:  # an iterator that needs none
            return None
        if isinstance(initializer, tf.Operation):
            return initializer
    return None


# Optimizers. Keras 3's have no slots.
def slot_maker(optimizer: Any) -> Callable[..., Any] | None:
    """Returns the method that restores a slot of `optimizer`; None if it has no slots.

    Called with `slot_variable_position`, `slot_name` and `variable`, it restores the slot now if
    it can, else when the optimizer makes the slot. It returns a slot that the caller has to
    restore, or None.
    """
    make: Callable[..., Any] | None = getattr(optimizer, "_create_or_restore_slot_variable", None)
    return make


def deferred_slots(optimizer: Any, slot_name: str) -> dict[Any, list[Any]]:
    """Returns the positions that wait for slots of this name: `slot_key` -> positions."""
    deferred: dict[Any, list[Any]] = getattr(optimizer, "_deferred_slot_restorations", {}).get(
        slot_name, {}
    )
    return deferred


# Keras classes, by (module, class), because Keras need not be loaded. If Keras moves a class, its
# variables are treated as objects with several tensors, and metrics and seed generators are not
# saved.
KERAS_VARIABLE = ("keras.src.backend.tensorflow.core", "Variable")
KERAS_STATE = frozenset(
    (("keras.src.metrics.metric", "Metric"), ("keras.src.random.seed_generator", "SeedGenerator"))
)
# The lists of a layer or optimizer in which Keras repeats the objects of its attributes.
KERAS_LISTS = frozenset(
    (
        "_layers",
        "_metrics",
        "_operations",
        "_seed_generators",
        "_trainable_variables",
        "_non_trainable_variables",
    )
)


def is_keras(cls: type, *names: tuple[str, str]) -> bool:
    """Returns whether `cls` is, or derives from, one of these Keras classes."""
    return any((base.__module__, base.__name__) in names for base in cls.__mro__)


def keras_state_lists(obj: Any) -> dict[str, tuple[Any, ...]]:
    """Returns the `variables` and `metrics` that a metric or seed generator lists."""
    return {kind: tuple(getattr(obj, f"_{kind}", ())) for kind in ("variables", "metrics")}


# A variable of Keras has no value until the end of a symbolic call.
keras_value = attrgetter("_value")


def set_keras_initializer(variable: Any, make_tensor: Callable[[], Any]) -> None:
    """Makes `make_tensor` the initializer of a Keras variable that has no value yet."""
    variable._initializer = lambda *_, **__: make_tensor()
