"""What acts for the values of one TensorFlow graph (S34-S36).

Each object of the graph has at most one set of operations that read and restore it, made when
first needed, whoever saves or restores; contents are fed. So saving or restoring again adds
nothing to a graph, which may be finalized by then.
"""

from __future__ import annotations

import abc
import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tensorflow.python.checkpoint.checkpoint import get_session
from tensorflow.python.framework import errors_impl

from checkpointable.adapters.tensorflow.graph_mode.building import building
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
# Fed at once: contents are in memory twice while they are on their way.
_BATCH_SIZE = 128 << 20

# What a session raises when it is asked for contents that are not there, or that cannot be read.
# Others (a worker that is gone, say) are not about the program's objects.
_NO_CONTENTS = (
    errors_impl.FailedPreconditionError,
    errors_impl.InvalidArgumentError,
    errors_impl.UnimplementedError,
)


class Target(abc.ABC):
    """The operations that read and restore one object of a graph."""

    is_variable = False

    def __init__(self, executor: GraphExecutor) -> None:
        self.executor = executor
        self._fetches: Mapping[str, Any] | None = None
        self._restoring: tuple[Mapping[str, Any], Any] | None = None

    def fetches(self) -> Mapping[str, Any]:
        """Name -> what a session evaluates for it."""
        if self._fetches is None:
            with self.executor.building():
                self._fetches = self._make_fetches()
        return self._fetches

    def restoring(self) -> tuple[Mapping[str, Any], Any]:
        """Name -> placeholder, and the operations that assign what is fed."""
        if self._restoring is None:
            with self.executor.building():
                self._restoring = self._make_restoring()
        return self._restoring

    @abc.abstractmethod
    def describe(self) -> str:
        """What the object is, for messages."""

    @abc.abstractmethod
    def initializer(self) -> Any | None:
        """The operation that gives the object its initial contents, None if there is none."""

    @abc.abstractmethod
    def _make_fetches(self) -> Mapping[str, Any]: ...

    @abc.abstractmethod
    def _make_restoring(self) -> tuple[Mapping[str, Any], Any]: ...


class GraphValue(ValueSpec):
    """A value of a graph: what a session reads or assigns under a name of its target."""

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
        """That of the graph."""
        return self.target.executor


class GraphExecutor(Executor):
    """Acts for the values of one graph."""

    def __init__(self, graph: Any) -> None:
        self._graph = weakref.ref(graph)
        self._targets: dict[tuple[int, str], tuple[weakref.ref[Any], Target]] = {}

    @property
    def graph(self) -> Any:
        """The graph, which is there as long as anybody asks."""
        graph = self._graph()
        assert graph is not None
        return graph

    def target(self, obj: Any, attribute: str, make: Callable[[], T]) -> T:
        """The target of an object (and of one of its values, where each has its own)."""
        place = id(obj), attribute
        found = self._targets.get(place)
        if found is not None and found[0]() is obj:
            return found[1]  # type: ignore[return-value]
        targets = weakref.ref(self)

        def forget(reference: weakref.ref[Any]) -> None:
            executor = targets()
            held = None if executor is None else executor._targets.get(place)
            if executor is not None and held is not None and held[0] is reference:
                del executor._targets[place]

        with self.building():
            made = make()
        self._targets[place] = weakref.ref(obj, forget), made
        return made

    def building(self) -> Any:
        """A context in which operations are added to the graph, under no condition of others."""
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
                feeds.update({placeholders[name]: own for name, own in contents.items()})
                operations.append(operation)
            session.run(operations, feed_dict=feeds)

    def initialize(self, values: Sequence[ValueSpec], session: Any) -> None:
        targets = dict.fromkeys(v.target for v in values if isinstance(v, GraphValue))
        found = [target.initializer() for target in targets]
        initializers = [initializer for initializer in found if initializer is not None]
        if initializers:
            self._session(session).run(initializers)
        for target, initializer in zip(targets, found, strict=True):
            if initializer is None and target.is_variable:
                self._check_contents(target, session)

    def _check_contents(self, target: Target, session: Any) -> None:
        """Raises if an object that nothing initializes has no contents."""
        try:
            self._session(session).run(list(target.fetches().values()))
        except errors_impl.FailedPreconditionError as error:
            raise ValueError(
                f"{target.describe()} has no contents, and no initializer that could give it "
                "some: assign it, or restore a checkpoint that has it"
            ) from error

    def read(self, values: Sequence[ValueSpec], session: Any) -> Sequence[Any]:
        wanted = [v.target.fetches()[v.name] for v in values if isinstance(v, GraphValue)]
        session = self._session(session)
        try:
            contents = session.run(wanted)
        except _NO_CONTENTS:
            # TensorFlow names an operation; which object it is shows when they are read singly.
            for value, fetch in zip(values, wanted, strict=True):
                try:
                    session.run(fetch)
                except _NO_CONTENTS as error:
                    raise _no_contents(value, error) from error
            raise
        return [
            messages_of(own) if value.dtype == VARIANT else own
            for value, own in zip(values, contents, strict=True)
        ]

    def evaluate(self, tensor: Any, session: Any) -> Any:
        """The contents of a tensor of the graph."""
        return self._session(session).run(tensor)

    def _session(self, session: Any) -> Any:
        """The session to use: that given, or the default one.

        Raises:
          ValueError: there is none, or it runs another graph.
        """
        found = get_session() if session is None else session
        if found is None:
            raise ValueError(
                "the program's variables are those of a TensorFlow graph: give the session that "
                "has their values (session=…), or enter one (`with session.as_default():`)"
            )
        if found.graph is not self.graph:
            raise ValueError(
                "the session runs another graph than the one that the program's variables are in"
            )
        return found


def _no_contents(value: ValueSpec, error: errors_impl.OpError) -> NoContentsError:
    assert isinstance(value, GraphValue)
    what = value.target.describe()
    if value.target.is_variable and isinstance(error, errors_impl.FailedPreconditionError):
        return NoContentsError(f"{what} is not initialized in this session", value)
    # What a session raises begins with where the program has built the operation.
    cause = error.__context__ if isinstance(error.__context__, errors_impl.OpError) else error
    said = cause.message.partition("\n")[0]
    return NoContentsError(f"TensorFlow cannot read {what}: {said}", value)


def executor_of(graph: Any) -> GraphExecutor:
    """The executor of a graph; it lives as long as the graph does."""
    executor = getattr(graph, _ATTRIBUTE, None)
    if executor is None:
        executor = GraphExecutor(graph)
        setattr(graph, _ATTRIBUTE, executor)
    return executor


def _batches(
    values: Iterable[tuple[str, ValueSpec]], source: Source
) -> Iterator[list[tuple[str, GraphValue]]]:
    """The values in groups that are fed at once; those of one target together."""
    by_target: dict[Target, list[tuple[str, GraphValue]]] = {}
    for key, value in values:
        assert isinstance(value, GraphValue)
        by_target.setdefault(value.target, []).append((key, value))
    batch: list[tuple[str, GraphValue]] = []
    size = 0
    for own in by_target.values():
        batch += own
        for key, value in own:
            size += value.dtype.itemsize * math.prod(source.shape(key))
        if size >= _BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read(batch: Iterable[tuple[str, GraphValue]], source: Source) -> dict[Target, dict[str, Any]]:
    """What is to be fed: target -> name -> contents."""
    contents: dict[Target, dict[str, Any]] = {}
    targets: list[tuple[str, Any]] = []
    for key, value in batch:
        if value.dtype == VARIANT:
            own: Any = serialized(source.get_variants(key))
        elif value.dtype == STRING:
            own = source.get_tensor(key)
        else:
            own = aligned_empty(source.shape(key), value.dtype)
            targets.append((key, own))
        contents.setdefault(value.target, {})[value.name] = own
    source.read_into(targets)
    return contents
