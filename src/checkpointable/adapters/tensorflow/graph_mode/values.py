"""Variables and other objects of a graph, as values."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorflow.python.eager import context
from tensorflow.python.framework import dtypes, ops
from tensorflow.python.framework.tensor import Tensor
from tensorflow.python.ops import (
    array_ops,
    gen_resource_variable_ops,
    parsing_ops,
    state_ops,
    variables,
)
from tensorflow.python.ops.gen_parsing_ops import serialize_tensor
from tensorflow.python.ops.ref_variable import RefVariable
from tensorflow.python.training.saving.saveable_object import SaveableObject

from checkpointable.adapters.tensorflow.conversion import numpy_dtype, shape_of
from checkpointable.adapters.tensorflow.graph_mode.executor import (
    GraphExecutor,
    GraphValue,
    Target,
    executor_of,
)
from checkpointable.adapters.tensorflow.partitioned import part_of
from checkpointable.adapters.tensorflow.saveables import Tensors, numpy_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointable.graph.value import ValueSpec

__all__ = [
    "evaluated",
    "graph_of",
    "initializer_value",
    "noted_in_graph",
    "values_in",
    "variable_in_graph",
]


def graph_of(obj: Any) -> Any | None:
    """The graph that an object, which is no variable, is part of; None if it is eager."""
    for name in ("resource_handle", "_iterator_resource"):
        handle = getattr(obj, name, None)
        if handle is not None:
            return None if isinstance(handle, ops.EagerTensor) else handle.graph
    with ops.init_scope():
        graph = ops.get_default_graph()
        return None if ops.executing_eagerly_outside_functions() else graph


def evaluated(number: Any, session: Any) -> Any | None:
    """The contents of a tensor of a graph; None of anything else.

    Raises:
      ValueError: there is no session, or it runs another graph; the graph is that of a function.
    """
    if not isinstance(number, Tensor) or isinstance(number, ops.EagerTensor):
        return None
    if number.graph.building_function:
        raise ValueError(
            f"the tensor {number.name!r} is part of a tf.function that is being traced, and has "
            "no contents"
        )
    return np.asarray(executor_of(number.graph).evaluate(number, session))


def noted_in_graph() -> list[tuple[str | None, Any]] | None:
    """(name, object) of what `tf.compat.v1.train.Saver` saves if nothing else is said.

    That is all of the default graph; None in eager execution. A variable has its name itself.
    """
    if context.executing_eagerly():
        return None
    # A table is noted by what saves it.
    return [
        (own.name, own.op) if isinstance(own, SaveableObject) else (None, own)
        for own in variables._all_saveable_objects()
    ]


def variable_in_graph(variable: Any) -> ValueSpec:
    """The value of a variable that is part of a graph."""
    executor = executor_of(variable.graph)
    target = executor.target(variable, "", lambda: _VariableTarget(executor, variable))
    dtype, shape = numpy_dtype(variable.dtype), shape_of(variable.shape)
    return GraphValue(target, "", dtype, shape, part_of(variable))


class _VariableTarget(Target):
    is_variable = True

    def __init__(self, executor: GraphExecutor, variable: Any) -> None:
        super().__init__(executor)
        self._variable = weakref.ref(variable)

    def describe(self) -> str:
        return f"the variable {self._living().name!r}"

    def initializer(self) -> Any | None:
        return self._living().initializer

    def _living(self) -> Any:
        variable = self._variable()
        assert variable is not None
        return variable

    def _make_fetches(self) -> Mapping[str, Any]:
        variable = self._living()
        # The read that the variable was made with; another one would be one more operation.
        element = variable._as_graph_element()
        return {"": variable.read_value() if element is None else element}

    def _make_restoring(self) -> tuple[Mapping[str, Any], Any]:
        variable = self._living()
        placeholder = array_ops.placeholder(variable.dtype.base_dtype, variable.shape)
        if isinstance(variable, RefVariable):
            known = variable.get_shape().is_fully_defined()
            operation = state_ops.assign(variable, placeholder, validate_shape=known).op
        else:
            operation = gen_resource_variable_ops.assign_variable_op(variable.handle, placeholder)
        return {"": placeholder}, operation


def values_in(graph: Any) -> Callable[[Any, str, Callable[[], Tensors]], dict[str, ValueSpec]]:
    """What makes values of tensors of a graph; see `saveables.Make`."""
    executor = executor_of(graph)

    def make_values(obj: Any, attribute: str, make: Callable[[], Tensors]) -> dict[str, ValueSpec]:
        target = executor.target(obj, attribute, lambda: _TensorsTarget(executor, obj, make()))
        return {
            name: GraphValue(target, name, dtype, target.shapes.get(name))
            for name, dtype in target.kinds.items()
        }

    return make_values


class _TensorsTarget(Target):
    """The tensors of an object that are read and restored together."""

    def __init__(self, executor: GraphExecutor, obj: Any, tensors: Tensors) -> None:
        super().__init__(executor)
        self._obj = weakref.ref(obj)
        self._tensors = tensors
        self.kinds = numpy_kinds(tensors)
        self.shapes = tensors.shapes()

    def describe(self) -> str:
        return f"this {type(self._obj()).__name__}"

    def initializer(self) -> Any | None:
        obj = self._obj()
        return None if obj is None else initializer_of(obj)

    def _make_fetches(self) -> Mapping[str, Any]:
        return {
            # A session gives no variants; it gives their serialized form.
            name: serialize_tensor(tensor) if tensor.dtype == dtypes.variant else tensor
            for name, tensor in self._tensors.read().items()
        }

    def _make_restoring(self) -> tuple[Mapping[str, Any], Any]:
        placeholders, tensors = {}, {}
        for name, dtype in self._tensors.kinds().items():
            base = dtypes.as_dtype(dtype).base_dtype
            if base == dtypes.variant:
                placeholders[name] = array_ops.placeholder(dtypes.string, ())
                tensors[name] = parsing_ops.parse_tensor(placeholders[name], base)
            else:
                tensors[name] = placeholders[name] = array_ops.placeholder(base)
        return placeholders, _operations(self._tensors.restore(tensors))


def _operations(made: Any) -> Any:
    """What a restore returned, as operations: their results need not be fetched."""
    if isinstance(made, dict):
        made = list(made.values())
    if isinstance(made, (list, tuple)):
        return [_operations(each) for each in made]
    return getattr(made, "op", made)


def initializer_of(obj: Any) -> Any | None:
    """The operation that initializes an object of a graph, None if there is none."""
    for name in ("initializer", "_init_op"):  # the latter is that of a `tf.lookup` table
        try:
            initializer = getattr(obj, name, None)
        except ValueError:  # an iterator that needs none
            return None
        if isinstance(initializer, ops.Operation):
            return initializer
    return None


def initializer_value(obj: Any) -> ValueSpec | None:
    """Stands for an object without values that is to be initialized (a table of constants)."""
    operation = initializer_of(obj)
    if operation is None:
        return None
    executor = executor_of(operation.graph)
    target = executor.target(obj, "initializer", lambda: _InitializedTarget(executor, operation))
    return GraphValue(target, "", numpy_dtype(dtypes.bool), None)


class _InitializedTarget(Target):
    def __init__(self, executor: GraphExecutor, operation: Any) -> None:
        super().__init__(executor)
        self._operation = operation

    def describe(self) -> str:
        return f"what {self._operation.name!r} initializes"

    def initializer(self) -> Any | None:
        return self._operation

    def _make_fetches(self) -> Mapping[str, Any]:
        return {}

    def _make_restoring(self) -> tuple[Mapping[str, Any], Any]:
        return {}, None
