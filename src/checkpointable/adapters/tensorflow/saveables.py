"""Objects that show tensors to the checkpoint: several at once, or by old saveables.

Three ways in which TensorFlow's objects say what is to be saved, and how it is stored:

    _serialize_to_tensors                    a value for each tensor
    the same, with a legacy saveable name    one value of that name, stored as several
    _gather_saveables_for_checkpoint         a value for each saveable, stored as one or several

Source: tensorflow/python/checkpoint/save_util.py, training/saving/saveable_object_util.py.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tensorflow.python.checkpoint.saveable_compat import get_saveable_name
from tensorflow.python.data.ops.iterator_ops import Iterator, OwnedIterator
from tensorflow.python.framework import dtypes
from tensorflow.python.framework.tensor_shape import TensorShape
from tensorflow.python.ops.lookup_ops import DenseHashTable, MutableHashTable
from tensorflow.python.trackable.trackable_utils import escape_local_name
from tensorflow.python.training.saving.saveable_object import SaveableObject, SaveSpec
from tensorflow.python.training.saving.saveable_object_util import (
    saveable_objects_for_op,
    trackable_has_serialize_to_tensor,
)

from checkpointable.adapters.tensorflow.conversion import numpy_dtype, shape_of

if TYPE_CHECKING:
    from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["Make", "Tensors", "numpy_kinds", "offered"]

Make = Callable[[Any, str, Callable[[], "Tensors"]], Mapping[str, "ValueSpec"]]
"""(object, attribute, what makes its tensors) -> the values, by what follows their key."""


class Tensors(abc.ABC):
    """Tensors of one object that are restored together."""

    @abc.abstractmethod
    def kinds(self) -> Mapping[str, Any]:
        """Name -> TensorFlow's dtype of each."""

    def shapes(self) -> Mapping[str, tuple[int | None, ...] | None]:
        """Name -> the sizes of those of which some are known, None for each that is not."""
        return {}

    @abc.abstractmethod
    def read(self) -> Mapping[str, Any]:
        """Name -> tensor."""

    @abc.abstractmethod
    def restore(self, tensors: Mapping[str, Any]) -> Any:
        """Takes new contents for all of them; in a graph, returns the operations that do."""


class _Serialized(Tensors):
    """What `_serialize_to_tensors` gives; its names are escaped, as they are in keys."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj
        self._read: dict[str, Any] | None = None
        self._names: dict[str, str] = {}

    def kinds(self) -> Mapping[str, Any]:
        known = _known_kinds(self._obj)
        if known is not None:  # reading a table or an iterator is work, and may fail
            return known
        self._read = self._serialize()
        return {name: tensor.dtype for name, tensor in self._read.items()}

    def shapes(self) -> Mapping[str, tuple[int | None, ...] | None]:
        if not isinstance(self._obj, (MutableHashTable, DenseHashTable)):
            return {}
        # TensorFlow says that values do not fit when others have been assigned (S25).
        value = self._obj._default_value.shape
        if isinstance(self._obj, DenseHashTable) and not value.rank:
            return {}  # it gives numbers as rows of one
        return {"-values": shape_of(TensorShape([None]).concatenate(value))}

    def read(self) -> Mapping[str, Any]:
        read, self._read = self._read, None
        return {name: _evaluated(tensor) for name, tensor in (read or self._serialize()).items()}

    def _serialize(self) -> dict[str, Any]:
        tensors = self._obj._serialize_to_tensors()
        for name, tensor in tensors.items():
            if isinstance(tensor, dict):
                raise NotImplementedError(
                    f"its tensor {name!r} is stored as slices, which only variables can be"
                )
        self._names = {escape_local_name(name): name for name in tensors}
        return {escape_local_name(name): tensor for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Any]) -> Any:
        names = self._names
        return self._obj._restore_from_tensors(
            {names.get(name, name): tensor for name, tensor in tensors.items()}
        )


class _Saveable(Tensors):
    """The tensors of an old saveable; named by what follows its own name."""

    def __init__(self, saveable: SaveableObject, key: str) -> None:
        self._saveable = saveable
        self._specs: dict[str, SaveSpec] = {}
        for spec in saveable.specs:
            if spec.slice_spec:
                raise NotImplementedError(
                    f"{saveable.name!r} is stored as slices, which only variables can be"
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
    """The tensor itself of whatever stands for one."""
    if isinstance(tensor, SaveSpec):
        found = tensor.tensor
    else:
        found = tensor() if callable(tensor) else tensor
    if found is None:
        raise ValueError("it is not initialized yet, so there is nothing to save")
    return found


def _known_kinds(obj: Any) -> Mapping[str, Any] | None:
    """The tensors of objects that need not be read to know them."""
    if isinstance(obj, (OwnedIterator, Iterator)):
        return {"_STATE": dtypes.variant}
    if isinstance(obj, (MutableHashTable, DenseHashTable)):
        return {"-keys": obj.key_dtype, "-values": obj.value_dtype}
    return None


def offered(
    obj: Any, make: Make, group: Callable[[Mapping[str, ValueSpec]], ValueSpec]
) -> Mapping[str, ValueSpec | ValueFactory]:
    """The values that an object offers by attribute name.

    Args:
      obj: a Trackable that is no plain variable.
      make: makes values of tensors.
      group: makes one value that is stored as these several.
    """
    legacy_name = get_saveable_name(obj)
    if trackable_has_serialize_to_tensor(obj):
        values = make(obj, "", lambda: _Serialized(obj))
        return {legacy_name: group(values)} if legacy_name else values
    return {
        attribute: _factory(obj, attribute, factory, make, group)
        for attribute, factory in obj._gather_saveables_for_checkpoint().items()
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
            saveables = list(saveable_objects_for_op(made, key))
            if len(saveables) != 1:
                raise NotImplementedError(
                    f"its value {attribute!r} is stored as {len(saveables)} slices"
                )
            return _Saveable(saveables[0], key)

        values = make(obj, f"{attribute} {key}", tensors)
        return values[""] if list(values) == [""] else group(values)

    return value_of


def numpy_kinds(tensors: Tensors) -> dict[str, Any]:
    """Name -> NumPy's dtype of each."""
    return {name: numpy_dtype(dtype) for name, dtype in tensors.kinds().items()}
