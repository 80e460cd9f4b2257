"""Objects that offer several tensors, or saveables of TensorFlow 1.

A TensorFlow object offers its values in one of three forms:

    _serialize_to_tensors                    one value per tensor
    the same, with a legacy saveable name    one value of that name, stored as several
    _gather_saveables_for_checkpoint         one value per saveable, stored as one or several

Source: tensorflow/python/checkpoint/save_util.py, training/saving/saveable_object_util.py.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from checkpointable.adapters.tensorflow.conversion import numpy_dtype, shape_of
from checkpointable.adapters.tensorflow.private_api import (
    OwnedIterator,
    SaveableObject,
    SaveSpec,
    get_saveable_name,
    offers_tensors,
    saveables_of,
)
from checkpointable.adapters.tensorflow.private_attributes import (
    default_value,
    restore_from_tensors,
    saveable_factories,
    serialize_to_tensors,
)
from checkpointable.graph.paths import escape

if TYPE_CHECKING:
    from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["Make", "Tensors", "numpy_kinds", "values_of"]

_ITERATORS = (OwnedIterator, tf.compat.v1.data.Iterator)
_TABLES = (tf.lookup.experimental.MutableHashTable, tf.lookup.experimental.DenseHashTable)

Make = Callable[[Any, str, Callable[[], "Tensors"]], Mapping[str, "ValueSpec"]]
"""(object, attribute, maker of its tensors) -> values, by the suffix of their keys."""


class Tensors(abc.ABC):
    """The tensors of one object, restored together."""

    @abc.abstractmethod
    def kinds(self) -> Mapping[str, Any]:
        """Returns name -> TensorFlow dtype."""

    def shapes(self) -> Mapping[str, tuple[int | None, ...] | None]:
        """Returns name -> shape, None for each unknown size; nothing for an unknown rank."""
        return {}

    @abc.abstractmethod
    def read(self) -> Mapping[str, Any]:
        """Returns name -> tensor."""

    @abc.abstractmethod
    def restore(self, tensors: Mapping[str, Any]) -> Any:
        """Assigns new contents to all; in a graph, returns the operations that assign them."""


class _Serialized(Tensors):
    """The tensors of `_serialize_to_tensors`, whose names are escaped as in keys."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj
        self._read: dict[str, Any] | None = None
        self._names: dict[str, str] = {}

    def kinds(self) -> Mapping[str, Any]:
        known = _known_kinds(self._obj)
        if known is not None:  # reading a table or an iterator takes time, and may fail
            return known
        self._read = self._serialize()
        return {name: tensor.dtype for name, tensor in self._read.items()}

    def shapes(self) -> Mapping[str, tuple[int | None, ...] | None]:
        if not isinstance(self._obj, _TABLES):
            return {}
        # TensorFlow would notice values that do not fit only after it has assigned others (S25).
        value = default_value(self._obj).shape
        if isinstance(self._obj, tf.lookup.experimental.DenseHashTable) and not value.rank:
            return {}  # it stores scalars as rows of one element
        return {"-values": shape_of(tf.TensorShape([None]).concatenate(value))}

    def read(self) -> Mapping[str, Any]:
        read, self._read = self._read, None
        return {name: _evaluated(tensor) for name, tensor in (read or self._serialize()).items()}

    def _serialize(self) -> dict[str, Any]:
        tensors = serialize_to_tensors(self._obj)
        for name, tensor in tensors.items():
            if isinstance(tensor, dict):
                raise NotImplementedError(
                    f"its tensor {name!r} is stored as slices, which only variables may be"
                )
        self._names = {escape(name): name for name in tensors}
        return {escape(name): tensor for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Any]) -> Any:
        names = self._names
        return restore_from_tensors(
            self._obj,
            {names.get(name, name): tensor for name, tensor in tensors.items()},
        )


class _Saveable(Tensors):
    """The tensors of a saveable, named by the suffix of their keys."""

    def __init__(self, saveable: SaveableObject, key: str) -> None:
        self._saveable = saveable
        self._specs: dict[str, SaveSpec] = {}
        for spec in saveable.specs:
            if spec.slice_spec:
                raise NotImplementedError(
                    f"{saveable.name!r} is stored as slices, which only variables may be"
                )
            self._specs[str(spec.name).removeprefix(key)] = spec

    def kinds(self) -> Mapping[str, Any]:
        return {name: spec.dtype for name, spec in self._specs.items()}

    def read(self) -> Mapping[str, Any]:
        return {name: _evaluated(spec) for name, spec in self._specs.items()}

    def restore(self, tensors: Mapping[str, Any]) -> Any:
        ordered = [tensors[name] for name in self._specs]
        return self._saveable.restore(ordered, restored_shapes=None)


def _evaluated(tensor: Any) -> Any:
    """Returns a tensor, given one, a function that returns one, or a `SaveSpec`."""
    if isinstance(tensor, SaveSpec):
        tensor = tensor.tensor
    elif callable(tensor):
        tensor = tensor()
    if tensor is None:
        raise ValueError("it is not initialized yet, so there is nothing to save")
    return tensor


def _known_kinds(obj: Any) -> Mapping[str, Any] | None:
    """Returns name -> dtype for objects whose tensors are known without a read; None for others."""
    if isinstance(obj, _ITERATORS):
        return {"_STATE": tf.variant}
    if isinstance(obj, _TABLES):
        return {"-keys": obj.key_dtype, "-values": obj.value_dtype}
    return None


def values_of(
    obj: Any, make: Make, group: Callable[[Mapping[str, ValueSpec]], ValueSpec]
) -> Mapping[str, ValueSpec | ValueFactory]:
    """Returns the values of an object, by attribute name.

    Args:
      obj: a Trackable other than a plain variable.
      make: makes the values of tensors.
      group: makes one value that is stored as several.

    Raises:
      NotImplementedError: the object stores slices.
    """
    legacy_name = get_saveable_name(obj)
    if offers_tensors(obj):
        values = make(obj, "", lambda: _Serialized(obj))
        return {legacy_name: group(values)} if legacy_name else values
    return {
        attribute: _factory(obj, attribute, factory, make, group)
        for attribute, factory in saveable_factories(obj).items()
    }


def _factory(
    obj: Any,
    attribute: str,
    factory: Any,
    make: Make,
    group: Callable[[Mapping[str, ValueSpec]], ValueSpec],
) -> ValueFactory:
    def value_of(key: str) -> ValueSpec:
        def tensors() -> Tensors:
            made = factory(name=key) if callable(factory) else factory
            saveables = list(saveables_of(made, key))
            if len(saveables) != 1:
                raise NotImplementedError(
                    f"its value {attribute!r} is stored as {len(saveables)} slices"
                )
            return _Saveable(saveables[0], key)

        values = make(obj, f"{attribute} {key}", tensors)
        return values[""] if list(values) == [""] else group(values)

    return value_of


def numpy_kinds(tensors: Tensors) -> dict[str, Any]:
    """Returns name -> NumPy dtype."""
    return {name: numpy_dtype(dtype) for name, dtype in tensors.kinds().items()}
