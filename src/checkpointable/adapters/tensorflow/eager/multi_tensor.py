"""Values that are several tensors of one object: read and restored at one time, eagerly."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tensorflow.python.eager import context
from tensorflow.python.framework import dtypes, errors_impl, ops
from tensorflow.python.ops import parsing_ops
from tensorflow.python.ops.gen_parsing_ops import serialize_tensor

from checkpointable.adapters.tensorflow.conversion import eagerly, to_array, to_tensor
from checkpointable.adapters.tensorflow.deferred import note_restored
from checkpointable.adapters.tensorflow.saveables import Tensors, numpy_kinds
from checkpointable.adapters.tensorflow.variants import messages_of, serialized
from checkpointable.graph.dtypes import VARIANT
from checkpointable.graph.executor import NoContentsError
from checkpointable.graph.value import Value

if TYPE_CHECKING:
    import numpy as np

__all__ = ["eager_values"]


def eager_values(obj: Any, attribute: str, make: Callable[[], Tensors]) -> dict[str, Value]:
    """The values of an object's tensors; see `saveables.Make`."""
    del attribute
    with context.eager_mode():
        tensors = make()
        kinds, shapes = numpy_kinds(tensors), tensors.shapes()
    whole = _Whole(obj, tensors, len(kinds))
    return {name: _Part(whole, name, dtype, shapes.get(name)) for name, dtype in kinds.items()}


class _Whole:
    """All tensors of an object, each asked for and handed over by itself."""

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
        with context.eager_mode():
            if tensor.dtype == dtypes.variant:
                return messages_of(serialize_tensor(tensor).numpy())
            return to_array(ops.convert_to_tensor(tensor))

    def write(self, name: str, contents: Any) -> None:
        self._arrived[name] = contents
        if len(self._arrived) < self._count:
            return
        arrived, self._arrived = self._arrived, {}
        with context.eager_mode():
            self._tensors.restore({name: _tensor(own) for name, own in arrived.items()})


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
        except errors_impl.OpError as error:
            # An iterator over a Python generator, say, has a state that nobody can read.
            kind = type(self._whole.obj).__name__
            raise NoContentsError(
                f"TensorFlow cannot read this {kind}: {error.message}", self
            ) from (error)

    def write(self, contents: Any) -> None:
        self._whole.write(self._name, (self.dtype, contents))

    def settle(self, uid: int) -> None:
        note_restored(self._whole.obj, uid)


def _tensor(given: tuple[np.dtype[Any], Any]) -> Any:
    dtype, contents = given
    if dtype == VARIANT:
        return parsing_ops.parse_tensor(serialized(contents), dtypes.variant)
    return to_tensor(contents)
