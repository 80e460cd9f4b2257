"""Optimizers, whose state belongs to parameters, and so do their slots (S11, S22).

The state of a parameter is found by the parameter itself, never by its position. State that
belongs to the optimizer as a whole is Python state of the optimizer. Optimizers that it wraps are
its dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.state.values import StateValues
from checkpointable.adapters.torch.notes import notes_by_object
from checkpointable.adapters.torch.optimizers import lbfgs
from checkpointable.adapters.torch.optimizers.optimizer_extra_state import (
    extra_state_of,
    inner_optimizers,
)
from checkpointable.adapters.torch.optimizers.param_groups import groups_of
from checkpointable.adapters.torch.optimizers.slots import OptimizerSlots, parameters_of
from checkpointable.adapters.torch.optimizers.watch import optimizer_watcher
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.slots import Slots
from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["LBFGSAdapter", "OptimizerAdapter"]

# Local names, which appear in checkpoints.
_GROUPS = "param_groups"
_EXTRA_STATE = "state_dict"


class OptimizerAdapter(Adapter):
    """`torch.optim.Optimizer` and classes derived from it."""

    watcher = optimizer_watcher
    may_overlook = True

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        children = [(_GROUPS, groups_of(obj)), *inner_optimizers(obj).items()]
        extra_state = extra_state_of(obj)
        if extra_state is not None and extra_state.get():
            children.append((_EXTRA_STATE, extra_state))
        return children

    def child(self, obj: Any, local_name: str) -> Any | None:
        if local_name == _GROUPS:
            return groups_of(obj)
        if local_name == _EXTRA_STATE:
            return extra_state_of(obj)
        return inner_optimizers(obj).get(local_name)

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        values = _state_values(obj)
        return values if _shared_state(obj) else _Unlisted(values)

    def notes(self, obj: Any) -> RestoreNotes:
        return notes_by_object.of(obj)

    def slots(self, obj: Any) -> Slots | None:
        return OptimizerSlots(obj)

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        warned = _warned.of(obj)
        if warned:
            return
        parameters = parameters_of(obj)
        lost = sum(len(obj.state.get(one, ())) > 0 and node_id(one) is None for one in parameters)
        if lost:
            warned.append(lost)
            problem = (
                f"{lost} of its {len(parameters)} parameters have state but are not in the saved "
                "program. A slot is saved only with its parameter, so save the module as well (S11)"
            )
            yield "state", problem


_warned: Beside[list[int]] = Beside(lambda _: [])


def _state_values(optimizer: Any) -> StateValues:
    def put(state: dict[Any, Any], _: int) -> None:
        optimizer.state.update(state)

    return StateValues(lambda: _shared_state(optimizer), put, what="the optimizer")


class _Unlisted(Mapping[str, "ValueSpec | ValueFactory"]):
    """The values of an optimizer that has no shared state at present: a restore may bring some."""

    def __init__(self, values: StateValues) -> None:
        self._values = values

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __getitem__(self, attribute: str) -> ValueSpec | ValueFactory:
        return self._values[attribute]


def _shared_state(optimizer: Any) -> dict[Any, Any]:
    """Returns the state under keys that are no parameters, which some third parties keep."""
    return {
        key: state for key, state in optimizer.state.items() if not isinstance(key, torch.Tensor)
    }


class LBFGSAdapter(OptimizerAdapter):
    """LBFGS, which has one state over all its parameters, in their order."""

    may_overlook = False  # its state is saved whether or not the parameters are

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return lbfgs.values(obj)

    def slots(self, obj: Any) -> Slots | None:
        return lbfgs.PositionSlots(obj)
