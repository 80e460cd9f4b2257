"""Python state: what is no array but must be saved, asked for at every save (S8)."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from checkpointable.graph.paths import PYTHON_STATE
from checkpointable.graph.value import STRING, Value
from checkpointable.tracking.base import Checkpointable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PythonState"]


class PythonState(Checkpointable, abc.ABC):
    """Base of objects whose state is a string of bytes, made anew at every save.

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
        """The state, as bytes (or text, stored as UTF-8)."""

    @abc.abstractmethod
    def deserialize(self, string_value: bytes) -> None:
        """Takes back what `serialize` gave."""

    def _gather_saveables_for_checkpoint(self) -> Mapping[str, Value]:
        return {PYTHON_STATE: Value(STRING, (), self.serialize, self.deserialize)}
