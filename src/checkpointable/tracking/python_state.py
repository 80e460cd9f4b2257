"""Python state: state that is not an array, serialized at every save (S8)."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from checkpointable.errors import CheckpointError, CheckpointMismatchError, shown_path
from checkpointable.graph.dtypes import STRING
from checkpointable.graph.paths import PYTHON_STATE, path_of_key
from checkpointable.graph.value import Value
from checkpointable.tracking.base import Checkpointable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PythonState"]


class PythonState(Checkpointable, abc.ABC):
    """Base class of objects whose state is a byte string, made at every save.

    Example:
        class Position(cp.PythonState):
            def __init__(self):
                self.line = 0

            def serialize(self):
                return str(self.line).encode()

            def deserialize(self, string_value):
                self.line = int(string_value)
    """

    @abc.abstractmethod
    def serialize(self) -> bytes | str:
        """Returns the state as bytes, or as text, which is stored as UTF-8.

        Raises:
          ValueError: The state cannot be saved; the save adds the object's path.
        """

    @abc.abstractmethod
    def deserialize(self, string_value: bytes) -> None:
        """Restores the state from the result of `serialize`.

        Args:
          string_value: The stored state.

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: The state is of another kind, or
            damaged; the restore adds the object's key. Raise them before you change anything.
        """

    def _check_serialized(self, string_value: bytes) -> None:
        """Raises the error that `deserialize` would raise, and changes nothing."""

    def _gather_saveables_for_checkpoint(self) -> Mapping[str, Callable[[str], Value]]:
        return {PYTHON_STATE: self._as_value}

    def _as_value(self, key: str) -> Value:
        return _StateValue(self, key)


class _StateValue(Value):
    """The state as a value; adds the path and the key to errors."""

    __slots__ = ("_key", "_state")

    def __init__(self, state: PythonState, key: str) -> None:
        self.dtype = STRING
        self.shape = ()
        self.memory = None
        self._state = state
        self._key = key

    def read(self) -> bytes | str:
        try:
            serialized: Any = self._state.serialize()
        except ValueError as error:
            if (
                type(error) is not ValueError
            ):  # a subclass has attributes in addition to its message
                raise
            raise ValueError(f"{self._path()}: {error}") from error
        if not isinstance(serialized, bytes | str):
            raise TypeError(
                f"{self._path()}: {type(self._state).__name__}.serialize() returned a "
                f"{type(serialized).__name__}; it must return bytes or str"
            )
        return serialized

    def check(self, contents: Any) -> None:
        """Raises the error that `write` would raise, and changes nothing."""
        self._tell(self._state._check_serialized, contents)

    def write(self, contents: Any) -> None:
        self._tell(self._state.deserialize, contents)

    def _tell(self, method: Callable[[bytes], None], contents: Any) -> None:
        if not isinstance(contents, bytes):
            raise CheckpointMismatchError(
                "Python state should be a scalar string, but the checkpoint has "
                f"{type(contents).__name__}",
                key=self._key,
            )
        try:
            method(contents)
        except CheckpointError as error:
            if error.key is None:
                error.key = self._key
            raise

    def _path(self) -> str:
        return shown_path(path_of_key(self._key))
