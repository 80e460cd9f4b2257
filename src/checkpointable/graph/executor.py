"""Executors, which read and assign values that exist only as a description so far."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from checkpointable.graph.value import ValueSpec
    from checkpointable.graph.walk import ObjectWalk

__all__ = ["Executor", "NoContentsError", "Source"]


class Source(Protocol):
    """The source of restored contents: the reader of a checkpoint."""

    prefix: str

    def get_tensor(self, key: str) -> Any:
        """Returns the verified contents in a new array; `bytes` for a scalar string."""

    def get_variants(self, key: str) -> Any:
        """Returns the contents of opaque objects of TensorFlow, see `graph.dtypes.VARIANT`."""

    def shape(self, key: str) -> tuple[int, ...]:
        """Returns the dimensions of the contents."""

    def check(self, keys: Iterable[str]) -> None:
        """Verifies contents; raises an error for the first damage."""

    def read_into(self, targets: Iterable[tuple[str, Any]], verify: Any = False) -> None:
        """Fills arrays of the contents' dtype and shape."""


class NoContentsError(ValueError):
    """Error: a value has no contents yet, or none that can be read.

    Attributes:
      value: The value.
    """

    def __init__(self, what: str, value: ValueSpec) -> None:
        super().__init__(what)
        self.value = value


class Executor(abc.ABC):
    """Reads and assigns values that exist only as a description (S34-S36).

    Examples are variables of a graph that is being built, and parameters without memory. A
    restore schedules such values, and assigns them when the user asks for it. One executor acts
    for all values of one kind (of one graph, for example), so that it can assign many in one step.
    """

    @abc.abstractmethod
    def schedule(self, values: Sequence[ValueSpec]) -> None:
        """Prepares the restore of values. Reads and assigns nothing; may be called again."""

    @abc.abstractmethod
    def run(self, values: Sequence[tuple[str, ValueSpec]], source: Source, session: Any) -> None:
        """Restores scheduled values, (key, value) each, from `source`."""

    @abc.abstractmethod
    def initialize(self, values: Sequence[ValueSpec], session: Any) -> None:
        """Gives values that no restore sets their initial contents."""

    def initialize_in(self, program: ObjectWalk, values: Sequence[ValueSpec], session: Any) -> None:
        """Initializes values like `initialize`, and receives the objects of the program.

        Args:
          program: All objects of the program.
          values: The values to initialize.
          session: The session that runs a graph; None outside of graph mode.
        """
        self.initialize(values, session)

    def without_contents(self, value: ValueSpec) -> Sequence[str]:
        """Returns names of the contents that an object lacks and that no restore can fill."""
        return ()

    @abc.abstractmethod
    def read(self, values: Sequence[ValueSpec], session: Any) -> Sequence[Any]:
        """Returns the present contents, as `Value.read` would return them.

        Raises:
          NoContentsError: a value has none.
        """
