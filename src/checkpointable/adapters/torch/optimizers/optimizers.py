"""Optimizers: their state belongs to parameters, and so do its slots (S11, S22).

A parameter's state is found by the parameter itself, never by its position. State that belongs
to the optimizer as a whole is Python state of its own. Optimizers that it wraps are its
dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.state.values import StateValues
from checkpointable.adapters.torch.notes import notes_by_object
from checkpointable.adapters.torch.optimizers import lbfgs
from checkpointable.adapters.torch.optimizers.groups import groups_of
from checkpointable.adapters.torch.optimizers.optimizer_extra_state import (
    inner_optimizers,
    own_state,
)
from checkpointable.adapters.torch.optimizers.slots import OptimizerSlots, parameters_of
from checkpointable.adapters.torch.watch import optimizer_watcher
from checkpointable.graph.adapter import Adapter, RestoreNotes, Slots
from checkpointable.graph.value import Value, ValueFactory

__all__ = ["LBFGSAdapter", "OptimizerAdapter"]

_GROUPS = "param_groups"
_OWN = "state_dict"


class OptimizerAdapter(Adapter):
    """`torch.optim.Optimizer` and what is derived from it."""

    watcher = optimizer_watcher
    may_overlook = True

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        found = [(_GROUPS, groups_of(obj)), *inner_optimizers(obj).items()]
        own = own_state(obj)
        if own is not None and own.get():
            found.append((_OWN, own))
        return found

    def child(self, obj: Any, local_name: str) -> Any | None:
        if local_name == _GROUPS:
            return groups_of(obj)
        return own_state(obj) if local_name == _OWN else inner_optimizers(obj).get(local_name)

    def values(self, obj: Any) -> Mapping[str, Value | ValueFactory]:
        values = _state_values(obj)
        return values if _shared_state(obj) else _Silent(values)

    def notes(self, obj: Any) -> RestoreNotes:
        return notes_by_object.of(obj)

    def slots(self, obj: Any) -> Slots | None:
        return OptimizerSlots(obj)

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        told = _told_of.of(obj)
        if told:
            return
        parameters = parameters_of(obj)
        lost = sum(len(obj.state.get(one, ())) > 0 and node_id(one) is None for one in parameters)
        if lost:
            told.append(lost)
            what = (
                f"that of {lost} of its {len(parameters)} parameters, which the program that is "
                "saved does not have: a slot is saved with its parameter, so save the module "
                "along (S11)"
            )
            yield "state", what


_told_of: Beside[list[int]] = Beside(lambda _: [])


def _state_values(optimizer: Any) -> StateValues:
    def put(state: dict[Any, Any], _: int) -> None:
        optimizer.state.update(state)

    return StateValues(lambda: _shared_state(optimizer), put, what="the optimizer")


class _Silent(Mapping[str, "Value | ValueFactory"]):
    """The values of an optimizer without a state of its own, which a restore may bring."""

    def __init__(self, values: StateValues) -> None:
        self._values = values

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __getitem__(self, attribute: str) -> Value | ValueFactory:
        return self._values[attribute]


def _shared_state(optimizer: Any) -> dict[Any, Any]:
    """State under other keys than parameters, as some optimizers of third parties keep."""
    return {
        key: state for key, state in optimizer.state.items() if not isinstance(key, torch.Tensor)
    }


class LBFGSAdapter(OptimizerAdapter):
    """LBFGS, which has one state over all its parameters, in their order."""

    may_overlook = False  # it is saved whatever parameters are

    def values(self, obj: Any) -> Mapping[str, Value | ValueFactory]:
        return lbfgs.values(obj)

    def slots(self, obj: Any) -> Slots | None:
        return lbfgs.PositionSlots(obj)
