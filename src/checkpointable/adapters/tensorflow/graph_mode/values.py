"""Values of variables and other objects of a TensorFlow graph."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from checkpointable.adapters.tensorflow.conversion import numpy_dtype, shape_of
from checkpointable.adapters.tensorflow.graph_mode.executor import (
    GraphExecutor,
    GraphValue,
    Target,
    executor_of,
)
from checkpointable.adapters.tensorflow.partitioned import part_of
from checkpointable.adapters.tensorflow.private_api import (
    EagerTensor,
    RefVariable,
    SaveableObject,
    assign_variable,
)
from checkpointable.adapters.tensorflow.private_attributes import (
    graph_element_of,
    initializer_of,
    resource_of,
)
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
    """Returns the graph of an object other than a variable; None if the object is eager."""
    resource = resource_of(obj)
    if resource is not None:
        return None if isinstance(resource, EagerTensor) else resource.graph
    with tf.init_scope():
        graph = tf.compat.v1.get_default_graph()
        return None if tf.compat.v1.executing_eagerly_outside_functions() else graph


def evaluated(number: Any, session: Any) -> Any | None:
    """Returns the contents of a tensor of a graph; None for other objects.

    Raises:
      ValueError: there is no session, it runs another graph, or the graph is that of a function.
    """
    if not isinstance(number, tf.Tensor) or isinstance(number, EagerTensor):
        return None
    if number.graph.building_function:
        raise ValueError(
            f"the tensor {number.name!r} is part of a tf.function that is being traced, and has "
            "no contents"
        )
    return np.asarray(executor_of(number.graph).evaluate(number, session))


def noted_in_graph() -> list[tuple[str | None, Any]] | None:
    """Returns (name, object) for all objects that `tf.compat.v1.train.Saver()` saves by default.

    These are the objects of the default graph. The name is None for a variable, which knows it.
    In eager execution the result is None.
    """
    if tf.executing_eagerly():
        return None
    v1 = tf.compat.v1
    keys = v1.GraphKeys.GLOBAL_VARIABLES, v1.GraphKeys.SAVEABLE_OBJECTS
    # The graph lists a table by the saveable that saves it.
    return [
        (listed.name, listed.op) if isinstance(listed, SaveableObject) else (None, listed)
        for key in keys
        for listed in v1.get_collection(key)
    ]


def variable_in_graph(variable: Any) -> ValueSpec:
    """Returns the value of a variable that is part of a graph."""
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
        # The read that was created with the variable: a new one would be another operation.
        element = graph_element_of(variable)
        return {"": variable.read_value() if element is None else element}

    def _make_restoring(self) -> tuple[Mapping[str, Any], Any]:
        variable = self._living()
        placeholder = tf.compat.v1.placeholder(variable.dtype.base_dtype, variable.shape)
        if isinstance(variable, RefVariable):
            known = variable.get_shape().is_fully_defined()
            operation = tf.compat.v1.assign(variable, placeholder, validate_shape=known).op
        else:
            operation = assign_variable(variable.handle, placeholder)
        return {"": placeholder}, operation


def values_in(graph: Any) -> Callable[[Any, str, Callable[[], Tensors]], dict[str, ValueSpec]]:
    """Returns a maker of values for tensors of a graph; see `saveables.Make`."""
    executor = executor_of(graph)

    def make_values(obj: Any, attribute: str, make: Callable[[], Tensors]) -> dict[str, ValueSpec]:
        target = executor.target(obj, attribute, lambda: _TensorsTarget(executor, obj, make()))
        return {
            name: GraphValue(target, name, dtype, target.shapes.get(name))
            for name, dtype in target.kinds.items()
        }

    return make_values


class _TensorsTarget(Target):
    """The tensors of one object, read and restored together."""

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
            # A session cannot return variants, only their serialized form.
            name: tf.io.serialize_tensor(tensor) if tensor.dtype == tf.variant else tensor
            for name, tensor in self._tensors.read().items()
        }

    def _make_restoring(self) -> tuple[Mapping[str, Any], Any]:
        placeholders, tensors = {}, {}
        for name, dtype in self._tensors.kinds().items():
            base = tf.as_dtype(dtype).base_dtype
            if base == tf.variant:
                placeholders[name] = tf.compat.v1.placeholder(tf.string, ())
                tensors[name] = tf.io.parse_tensor(placeholders[name], base)
            else:
                tensors[name] = placeholders[name] = tf.compat.v1.placeholder(base)
        return placeholders, _operations(self._tensors.restore(tensors))


def _operations(made: Any) -> Any:
    """Returns the operations of the results of a restore, so that no result is fetched."""
    if isinstance(made, dict):
        made = list(made.values())
    if isinstance(made, (list, tuple)):
        return [_operations(each) for each in made]
    return getattr(made, "op", made)


def initializer_value(obj: Any) -> ValueSpec | None:
    """Returns a value that only initializes its object, such as a table of constants."""
    operation = initializer_of(obj)
    if operation is None:
        return None
    executor = executor_of(operation.graph)
    target = executor.target(obj, "initializer", lambda: _InitializedTarget(executor, operation))
    return GraphValue(target, "", numpy_dtype(tf.bool), None)


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
