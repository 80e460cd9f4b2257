"""What acts for values that exist only as a description so far: the interface."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from checkpointable.graph.value import ValueSpec
    from checkpointable.graph.walk import ObjectWalk

__all__ = ["Executor", "NoContentsError", "Source"]


class Source(Protocol):
    """Where restored contents come from: the reader of a checkpoint."""

    prefix: str

    def get_tensor(self, key: str) -> Any:
        """The contents in a fresh array, verified; `bytes` for a scalar string."""

    def get_variants(self, key: str) -> Any:
        """The same for opaque objects of TensorFlow, see `graph.dtypes.VARIANT`."""

    def shape(self, key: str) -> tuple[int, ...]:
        """The dimensions of the contents."""

    def check(self, keys: Iterable[str]) -> None:
        """Verifies contents; raises at the first damage."""

    def read_into(self, targets: Iterable[tuple[str, Any]], verify: Any = False) -> None:
        """Fills arrays of the contents' dtype and shape."""


class NoContentsError(ValueError):
    """A value has no contents yet, or none that can be read.

    Attributes:
      value: which one.
    """

    def __init__(self, what: str, value: ValueSpec) -> None:
        super().__init__(what)
        self.value = value


class Executor(abc.ABC):
    """Acts for values that exist only as a description: variables of a graph that is being
    built, parameters without memory (S34-S36).

    Restoring such a value is recorded, and done when somebody says so. One executor acts for
    all values of one kind (of one graph, say), so that it can do many in one step.
    """

    @abc.abstractmethod
    def schedule(self, values: Sequence[ValueSpec]) -> None:
        """Prepares restoring these values; nothing is read or assigned. Must be repeatable."""

    @abc.abstractmethod
    def run(self, values: Sequence[tuple[str, ValueSpec]], source: Source, session: Any) -> None:
        """Restores recorded values, (key, value) each, from `source`."""

    @abc.abstractmethod
    def initialize(self, values: Sequence[ValueSpec], session: Any) -> None:
        """Gives these values, which no restore sets, their initial contents."""

    def initialize_in(self, program: ObjectWalk, values: Sequence[ValueSpec], session: Any) -> None:
        """As `initialize`, for an executor that must know which objects hold the values.

        Args:
          program: all objects, the values' among them.
        """
        self.initialize(values, session)

    def without_contents(self, value: ValueSpec) -> Sequence[str]:
        """Names of what `value`, which stands for an object, has and no restore can fill."""
        return ()

    @abc.abstractmethod
    def read(self, values: Sequence[ValueSpec], session: Any) -> Sequence[Any]:
        """The present contents, as `Value.read` would give them.

        Raises:
          NoContentsError: a value has none.
        """
