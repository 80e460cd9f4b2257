"""LBFGS: one state over all parameters, which it concatenates.

The state belongs to the optimizer, and is valid only for the same parameters in the same order. So
each parameter has a slot with its position in the state: first element and number of elements.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.state.values import StateValues
from checkpointable.adapters.torch.optimizers.slots import parameters_of
from checkpointable.adapters.torch.optimizers.stand_ins import StandIn
from checkpointable.errors import CheckpointMismatchError
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.slots import NewSlot, Slots
from checkpointable.graph.value import Value, ValueFactory, ValueSpec

__all__ = ["Position", "PositionSlots", "values"]

_SLOT = "position"


def values(optimizer: Any) -> StateValues:
    """Returns the state of an LBFGS optimizer and its number of elements, as values."""

    def get() -> dict[str, Any]:
        return {"size": _size(optimizer), "state": dict(_state(optimizer))}

    def check(state: Any) -> None:
        stored, expected = state.get("size"), _size(optimizer)
        if stored != expected:
            raise CheckpointMismatchError(
                f"the state of LBFGS covers {stored} elements in the checkpoint, but its "
                f"parameters have {expected} in the program. Give it the same parameters, or "
                "restore without the optimizer"
            )

    def put(state: dict[str, Any], _: int) -> None:
        present = _state(optimizer)
        present.clear()
        present.update(state["state"])

    return StateValues(get, put, check=check, what="LBFGS")


def _state(optimizer: Any) -> dict[str, Any]:
    state: dict[str, Any] = optimizer.state[parameters_of(optimizer)[0]]
    return state


def _count(parameter: Any) -> int:
    # LBFGS views a complex number as two real ones.
    return int(parameter.numel()) * (2 if parameter.is_complex() else 1)


def _size(optimizer: Any) -> int:
    return sum(_count(parameter) for parameter in parameters_of(optimizer))


class PositionSlots(Slots):
    """The position of each parameter in the state, as its slot."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def variables(self) -> Iterable[Any] | None:
        return parameters_of(self._optimizer)

    def names(self) -> Iterable[str]:
        return (_SLOT,)

    def get(self, variable: Any, slot_name: str) -> Any | None:
        if slot_name != _SLOT:
            return None
        return _positions.of(self._optimizer).of(variable)

    def prepare(
        self, variable: Any, slot_name: str, dtype: np.dtype[Any] | None, shape: tuple[int, ...]
    ) -> NewSlot | None:
        return None  # each parameter has its position already


class Position(StandIn):
    """Stands for the position of one parameter in the state."""

    def __init__(self, optimizer: weakref.ref[Any], parameter: Any) -> None:
        super().__init__()
        self.parameter = parameter
        self._optimizer = optimizer

    def values(self) -> Mapping[str, ValueSpec | ValueFactory]:
        return {VARIABLE_VALUE: _PositionValue(self)}

    def extent(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Returns the first element and the number of elements, an int64 array of shape (2,)."""
        start = 0
        for parameter in parameters_of(self._optimizer()):
            if parameter is self.parameter:
                break
            start += _count(parameter)
        return np.array([start, _count(self.parameter)], np.int64)


class _PositionValue(Value):
    """Never assigned: a restore is refused if the program has another order or size."""

    __slots__ = ("_position",)

    def __init__(self, position: Position) -> None:
        self.dtype = np.dtype(np.int64)
        self.shape = (2,)
        self.memory = None
        self._position = position

    def read(self) -> np.ndarray[Any, np.dtype[Any]]:
        return self._position.extent()

    def check(self, contents: Any) -> None:
        stored, expected = _span(contents), _span(self._position.extent())
        if stored != expected:
            raise CheckpointMismatchError(
                f"LBFGS has this parameter as {stored} of its state in the checkpoint, but as "
                f"{expected} in the program. Pass the parameters in the order and with the sizes "
                "in the checkpoint, or restore without the optimizer"
            )

    def write(self, contents: Any) -> None:
        pass


def _span(extent: Any) -> str:
    start, count = (int(number) for number in extent)
    return f"elements {start} to {start + count - 1}"


class _Positions:
    def __init__(self, optimizer: weakref.ref[Any]) -> None:
        self._optimizer = optimizer
        self._held: dict[int, Position] = {}

    def of(self, parameter: Any) -> Position:
        # A position holds its parameter, so the id stays that of the parameter.
        held = self._held.get(id(parameter))
        return held or self._held.setdefault(id(parameter), Position(self._optimizer, parameter))


_positions: Beside[_Positions] = Beside(_Positions)
