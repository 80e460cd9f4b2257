"""LBFGS: one state over all parameters, laid end to end.

The state is the optimizer's own, and means what it says only for the same parameters in the
same order. So each parameter has a slot that says where it lies: first element and count.
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
from checkpointable.graph.adapter import Slots
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.value import Value, ValueFactory

__all__ = ["Position", "PositionSlots", "values"]

_SLOT = "position"


def values(optimizer: Any) -> StateValues:
    """The state of an LBFGS optimizer, and how many elements it is over."""

    def get() -> dict[str, Any]:
        return {"size": _size(optimizer), "state": dict(_state(optimizer))}

    def check(state: Any) -> None:
        stored, own = state.get("size"), _size(optimizer)
        if stored != own:
            raise CheckpointMismatchError(
                f"the state of LBFGS is over {stored} elements in the checkpoint, and its "
                f"parameters have {own} in the program"
            )

    def put(state: dict[str, Any], _: int) -> None:
        own = _state(optimizer)
        own.clear()
        own.update(state["state"])

    return StateValues(get, put, check=check, what="LBFGS")


def _state(optimizer: Any) -> dict[str, Any]:
    state: dict[str, Any] = optimizer.state[parameters_of(optimizer)[0]]
    return state


def _count(parameter: Any) -> int:
    # A complex number is two there.
    return int(parameter.numel()) * (2 if parameter.is_complex() else 1)


def _size(optimizer: Any) -> int:
    return sum(_count(parameter) for parameter in parameters_of(optimizer))


class PositionSlots(Slots):
    """Where each parameter lies in the state."""

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

    def create(
        self, variable: Any, slot_name: str, contents: np.ndarray[Any, np.dtype[Any]]
    ) -> Any | None:
        raise AssertionError("every position exists")


class Position(StandIn):
    """Stands for where one parameter lies."""

    def __init__(self, optimizer: weakref.ref[Any], parameter: Any) -> None:
        super().__init__()
        self.parameter = parameter
        self._optimizer = optimizer

    def values(self) -> Mapping[str, Value | ValueFactory]:
        return {VARIABLE_VALUE: _PositionValue(self)}

    def place(self) -> np.ndarray[Any, np.dtype[Any]]:
        """First element and count."""
        start = 0
        for parameter in parameters_of(self._optimizer()):
            if parameter is self.parameter:
                break
            start += _count(parameter)
        return np.array([start, _count(self.parameter)], np.int64)


class _PositionValue(Value):
    """It is never assigned: the program's order stands, or the restore is refused."""

    __slots__ = ("_position",)

    def __init__(self, position: Position) -> None:
        self.dtype = np.dtype(np.int64)
        self.shape = (2,)
        self.memory = None
        self._position = position

    def read(self) -> np.ndarray[Any, np.dtype[Any]]:
        return self._position.place()

    def check(self, contents: Any) -> None:
        stored, own = _span(contents), _span(self._position.place())
        if stored != own:
            raise CheckpointMismatchError(
                f"LBFGS has this parameter as {stored} of its state in the checkpoint, as {own} "
                "in the program: its state cannot follow another order or size of parameters"
            )

    def write(self, contents: Any) -> None:
        pass


def _span(place: Any) -> str:
    start, count = (int(number) for number in place)
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
