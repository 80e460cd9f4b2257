"""Reads, restores and initializes the values of one TensorFlow graph (S34-S36).

Each object of the graph has at most one set of operations that read and restore it, made when
first needed and shared by all savers. Contents are fed. So saving or restoring again adds nothing
to the graph, and the graph may be finalized by then.
"""

from __future__ import annotations

import abc
import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import tensorflow as tf

from checkpointable.adapters.tensorflow.graph_mode.building import building
from checkpointable.adapters.tensorflow.private_api import get_session
from checkpointable.adapters.tensorflow.variants import messages_of, serialized
from checkpointable.graph.dtypes import STRING, VARIANT
from checkpointable.graph.executor import Executor, NoContentsError, Source
from checkpointable.graph.memory import aligned_empty
from checkpointable.graph.value import ValueSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np

    from checkpointable.graph.value import Part

__all__ = ["GraphExecutor", "GraphValue", "Target", "executor_of"]

T = TypeVar("T", bound="Target")

_ATTRIBUTE = "_checkpointable_executor"
# Bytes fed in one run. Contents are in memory twice while they are fed.
_BATCH_SIZE = 128 << 20

# Errors of a session for contents that do not exist or cannot be read. Others (a lost worker, for
# example) are not about the program's objects.
_NO_CONTENTS = (
    tf.errors.FailedPreconditionError,
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
)


class Target(abc.ABC):
    """The operations that read and restore one object of a graph."""

    is_variable = False

    def __init__(self, executor: GraphExecutor) -> None:
        self.executor = executor
        self._fetches: Mapping[str, Any] | None = None
        self._restoring: tuple[Mapping[str, Any], Any] | None = None

    def fetches(self) -> Mapping[str, Any]:
        """Returns name -> the tensor or operation that a session evaluates."""
        if self._fetches is None:
            with self.executor.building():
                self._fetches = self._make_fetches()
        return self._fetches

    def restoring(self) -> tuple[Mapping[str, Any], Any]:
        """Returns name -> placeholder, and the operations that assign the fed contents."""
        if self._restoring is None:
            with self.executor.building():
                self._restoring = self._make_restoring()
        return self._restoring

    @abc.abstractmethod
    def describe(self) -> str:
        """Returns the description of the object in messages."""

    @abc.abstractmethod
    def initializer(self) -> Any | None:
        """Returns the operation that initializes the object; None if there is none."""

    @abc.abstractmethod
    def _make_fetches(self) -> Mapping[str, Any]: ...

    @abc.abstractmethod
    def _make_restoring(self) -> tuple[Mapping[str, Any], Any]: ...


class GraphValue(ValueSpec):
    """A value of a graph: one name of a target, which a session reads or assigns."""

    __slots__ = ("name", "part_of", "target")

    def __init__(
        self,
        target: Target,
        name: str,
        dtype: np.dtype[Any],
        shape: tuple[int | None, ...] | None,
        part_of: Part | None = None,
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.target = target
        self.name = name
        self.part_of = part_of

    @property
    def executor(self) -> Executor:  # type: ignore[override]
        """The executor of the graph."""
        return self.target.executor


class GraphExecutor(Executor):
    """Reads, restores and initializes the values of one graph."""

    def __init__(self, graph: Any) -> None:
        self._graph = weakref.ref(graph)
        self._targets: dict[tuple[int, str], tuple[weakref.ref[Any], Target]] = {}

    @property
    def graph(self) -> Any:
        """The graph, which lives as long as the program uses it."""
        graph = self._graph()
        assert graph is not None
        return graph

    def target(self, obj: Any, attribute: str, make: Callable[[], T]) -> T:
        """Returns the target of an object, or of one of its values if each has a target.

        Args:
          obj: the object; the executor keeps only a weak reference.
          attribute: the value; "" for all.
          make: makes the target when it is first needed.
        """
        identity = id(obj), attribute
        known = self._targets.get(identity)
        if known is not None and known[0]() is obj:
            return known[1]  # type: ignore[return-value]
        targets = weakref.ref(self)

        def forget(reference: weakref.ref[Any]) -> None:
            executor = targets()
            held = None if executor is None else executor._targets.get(identity)
            if executor is not None and held is not None and held[0] is reference:
                del executor._targets[identity]

        with self.building():
            made = make()
        self._targets[identity] = weakref.ref(obj, forget), made
        return made

    def building(self) -> Any:
        """Returns a context in which to add operations to the graph; see `building.py`."""
        return building(self.graph)

    def schedule(self, values: Sequence[ValueSpec]) -> None:
        for value in values:
            assert isinstance(value, GraphValue)
            value.target.restoring()

    def run(self, values: Sequence[tuple[str, ValueSpec]], source: Source, session: Any) -> None:
        session = self._session(session)
        source.check([key for key, _ in values])
        for batch in _batches(values, source):
            feeds, operations = {}, []
            for target, contents in _read(batch, source).items():
                placeholders, operation = target.restoring()
                feeds.update({placeholders[name]: array for name, array in contents.items()})
                operations.append(operation)
            session.run(operations, feed_dict=feeds)

    def initialize(self, values: Sequence[ValueSpec], session: Any) -> None:
        targets = dict.fromkeys(v.target for v in values if isinstance(v, GraphValue))
        initializers = {target: target.initializer() for target in targets}
        operations = [operation for operation in initializers.values() if operation is not None]
        if operations:
            self._session(session).run(operations)
        for target, operation in initializers.items():
            if operation is None and target.is_variable:
                self._check_contents(target, session)

    def _check_contents(self, target: Target, session: Any) -> None:
        """Raises ValueError if an object without an initializer has no contents."""
        try:
            self._session(session).run(list(target.fetches().values()))
        except tf.errors.FailedPreconditionError as error:
            raise ValueError(
                f"{target.describe()} has neither contents nor an initializer: assign it, or "
                "restore a checkpoint that has it"
            ) from error

    def read(self, values: Sequence[ValueSpec], session: Any) -> Sequence[Any]:
        wanted = [v.target.fetches()[v.name] for v in values if isinstance(v, GraphValue)]
        session = self._session(session)
        try:
            contents = session.run(wanted)
        except _NO_CONTENTS:
            # TensorFlow names an operation. Reading one by one shows to which object it belongs.
            for value, fetch in zip(values, wanted, strict=True):
                try:
                    session.run(fetch)
                except _NO_CONTENTS as error:
                    raise _no_contents(value, error) from error
            raise
        return [
            messages_of(array) if value.dtype == VARIANT else array
            for value, array in zip(values, contents, strict=True)
        ]

    def evaluate(self, tensor: Any, session: Any) -> Any:
        """Returns the contents of a tensor of the graph."""
        return self._session(session).run(tensor)

    def _session(self, session: Any) -> Any:
        """Returns the session to use: `session`, or the default one if it is None.

        Raises:
          ValueError: there is none, or it runs another graph.
        """
        session = get_session() if session is None else session
        if session is None:
            raise ValueError(
                "the program's variables belong to a TensorFlow graph: pass the session that has "
                "their values (session=…), or enter one (`with session.as_default():`)"
            )
        if session.graph is not self.graph:
            raise ValueError(
                "the session runs another graph than the one that has the program's variables: "
                "pass a session of that graph"
            )
        return session


def _no_contents(value: ValueSpec, error: tf.errors.OpError) -> NoContentsError:
    assert isinstance(value, GraphValue)
    what = value.target.describe()
    if value.target.is_variable and isinstance(error, tf.errors.FailedPreconditionError):
        return NoContentsError(f"{what} is not initialized in this session", value)
    # The message of a session error begins with the place at which the program built the operation.
    cause = error.__context__ if isinstance(error.__context__, tf.errors.OpError) else error
    reason = cause.message.partition("\n")[0]
    return NoContentsError(f"TensorFlow cannot read {what}: {reason}", value)


def executor_of(graph: Any) -> GraphExecutor:
    """Returns the executor of a graph, which lives as long as the graph."""
    executor = getattr(graph, _ATTRIBUTE, None)
    if executor is None:
        executor = GraphExecutor(graph)
        setattr(graph, _ATTRIBUTE, executor)
    return executor


def _batches(
    values: Iterable[tuple[str, ValueSpec]], source: Source
) -> Iterator[list[tuple[str, GraphValue]]]:
    """Yields groups of values that are fed in one run; those of one target stay together."""
    by_target: dict[Target, list[tuple[str, GraphValue]]] = {}
    for key, value in values:
        assert isinstance(value, GraphValue)
        by_target.setdefault(value.target, []).append((key, value))
    batch: list[tuple[str, GraphValue]] = []
    size = 0
    for pairs in by_target.values():
        batch += pairs
        for key, value in pairs:
            size += value.dtype.itemsize * math.prod(source.shape(key))
        if size >= _BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read(batch: Iterable[tuple[str, GraphValue]], source: Source) -> dict[Target, dict[str, Any]]:
    """Reads the contents to feed for a batch: target -> name -> contents."""
    contents: dict[Target, dict[str, Any]] = {}
    targets: list[tuple[str, Any]] = []
    for key, value in batch:
        if value.dtype == VARIANT:
            array: Any = serialized(source.get_variants(key))
        elif value.dtype == STRING:
            array = source.get_tensor(key)
        else:
            array = aligned_empty(source.shape(key), value.dtype)
            targets.append((key, array))
        contents.setdefault(value.target, {})[value.name] = array
    source.read_into(targets)
    return contents
