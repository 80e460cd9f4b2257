"""Values of eager objects with several tensors, which are read and restored together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from checkpointable.adapters.tensorflow.conversion import eagerly, to_array, to_tensor
from checkpointable.adapters.tensorflow.deferred import note_restored
from checkpointable.adapters.tensorflow.private_api import eager_mode
from checkpointable.adapters.tensorflow.saveables import Tensors, numpy_kinds
from checkpointable.adapters.tensorflow.variants import messages_of, serialized
from checkpointable.graph.dtypes import VARIANT
from checkpointable.graph.executor import NoContentsError
from checkpointable.graph.value import Value

if TYPE_CHECKING:
    import numpy as np

__all__ = ["eager_values"]


def eager_values(obj: Any, attribute: str, make: Callable[[], Tensors]) -> dict[str, Value]:
    """Returns the values of an object's tensors; see `saveables.Make`."""
    del attribute
    with eager_mode():
        tensors = make()
        kinds, shapes = numpy_kinds(tensors), tensors.shapes()
    whole = _Whole(obj, tensors, len(kinds))
    return {name: _Part(whole, name, dtype, shapes.get(name)) for name, dtype in kinds.items()}


class _Whole:
    """All tensors of an object; each is read and written through its value."""

    def __init__(self, obj: Any, tensors: Tensors, count: int) -> None:
        self.obj = obj
        self._tensors = tensors
        self._count = count
        self._read: dict[str, Any] = {}
        self._arrived: dict[str, Any] = {}

    def read(self, name: str) -> Any:
        if name not in self._read:
            with eagerly():
                self._read = dict(self._tensors.read())
        tensor = self._read.pop(name)
        with eager_mode():
            if tensor.dtype == tf.variant:
                return messages_of(tf.io.serialize_tensor(tensor).numpy())
            return to_array(tf.convert_to_tensor(tensor))

    def write(self, name: str, contents: Any) -> None:
        self._arrived[name] = contents
        if len(self._arrived) < self._count:
            return
        arrived, self._arrived = self._arrived, {}
        with eager_mode():
            self._tensors.restore({name: _tensor(*part) for name, part in arrived.items()})


class _Part(Value):
    __slots__ = ("_name", "_whole")

    def __init__(
        self,
        whole: _Whole,
        name: str,
        dtype: np.dtype[Any],
        shape: tuple[int | None, ...] | None,
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.memory = None
        self._whole = whole
        self._name = name

    def read(self) -> Any:
        try:
            return self._whole.read(self._name)
        except tf.errors.OpError as error:
            # The state of an iterator over a Python generator, for example, cannot be read.
            kind = type(self._whole.obj).__name__
            raise NoContentsError(
                f"TensorFlow cannot read this {kind}: {error.message}", self
            ) from error

    def write(self, contents: Any) -> None:
        self._whole.write(self._name, (self.dtype, contents))

    def settle(self, uid: int) -> None:
        note_restored(self._whole.obj, uid)


def _tensor(dtype: np.dtype[Any], contents: Any) -> Any:
    if dtype == VARIANT:
        return tf.io.parse_tensor(serialized(contents), tf.variant)
    return to_tensor(contents)
