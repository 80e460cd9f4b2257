"""Inner optimizers and extra state: parts of an optimizer beside the state of its parameters.

Third-party optimizers wrap others (Lookahead, SAM, ZeRO) and add entries to their `state_dict`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.state.values import StateValues
from checkpointable.adapters.torch.optimizers.stand_ins import StandIn
from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["OptimizerExtraState", "extra_state_of", "inner_optimizers"]

_Optimizer = torch.optim.Optimizer


def inner_optimizers(optimizer: Any) -> dict[str, Any]:
    """Returns the optimizers that an optimizer wraps.

    An inner optimizer whose `state` is the same object as that of the outer one is left out: its
    state is saved with the outer one, so that wrapped and bare programs read each other's
    checkpoints.

    Returns:
      Attribute -> inner optimizer; for items of a list, tuple or dict `<attribute>/<item>`.
    """
    inner: dict[str, Any] = {}
    for name, item in vars(optimizer).items():
        if isinstance(item, _Optimizer):
            inner[name] = item
        elif type(item) in (list, tuple, dict):
            pairs = item.items() if type(item) is dict else enumerate(item)
            inner |= {f"{name}/{k}": one for k, one in pairs if isinstance(one, _Optimizer)}
    return {name: one for name, one in inner.items() if one.state is not optimizer.state}


class OptimizerExtraState(StandIn):
    """Stands for the entries that a class of optimizers adds to its `state_dict`."""

    def __init__(self, optimizer: weakref.ref[Any]) -> None:
        super().__init__()
        self._optimizer = optimizer

    def values(self) -> Mapping[str, ValueSpec | ValueFactory]:
        return StateValues(self.get, self._put, what="the optimizer's load_state_dict")

    def get(self) -> dict[str, Any]:
        """Returns the added entries, without the state of parameters and of inner optimizers."""
        optimizer = self._optimizer()
        try:
            whole = optimizer.state_dict()  # type: ignore[union-attr]
        except Exception:  # noqa: BLE001 (that of ZeRO fails until its processes have met)
            return {}
        saved_elsewhere = {
            id(tensor) for one in _family(optimizer) for tensor in _tensors(list(one.state.items()))
        }
        return {
            key: item
            for key, item in whole.items()
            if key not in _STANDARD
            and not (isinstance(item, dict) and item.keys() == _STANDARD)
            and not any(id(tensor) in saved_elsewhere for tensor in _tensors(item))
        }

    def _put(self, state: dict[str, Any], _: int) -> None:
        """Calls `load_state_dict` of the optimizer, and keeps all that is not in `state`."""
        optimizer: Any = self._optimizer()
        whole = optimizer.state_dict()
        family = _family(optimizer)
        # Loading replaces the state of the parameters by copies. Other objects refer to the
        # present one, so it is put back.
        kept = {id(held): held for one in family for held in (one.state, one.param_groups)}
        attributes_kept = [
            (vars(one), name, item)
            for one in family
            for name, item in vars(one).items()
            if id(item) in kept
        ]
        try:
            optimizer.load_state_dict({**whole, **state})
        finally:
            for attributes, name, item in attributes_kept:
                attributes[name] = item


_STANDARD = {"state", "param_groups"}


def _family(optimizer: Any) -> list[Any]:
    """Returns the optimizer and all optimizers within it."""
    family = [optimizer]
    for one in family:  # grows within the loop
        for inner in vars(one).values():
            if isinstance(inner, _Optimizer) and all(inner is not other for other in family):
                family.append(inner)
        known = [id(other) for other in family]
        family += [inner for inner in inner_optimizers(one).values() if id(inner) not in known]
    return family


def _tensors(item: Any) -> Iterator[Any]:
    if isinstance(item, torch.Tensor):
        yield item
    elif isinstance(item, (dict, list, tuple)):
        for inner in item.values() if isinstance(item, dict) else item:
            yield from _tensors(inner)


_extra_states: Beside[OptimizerExtraState] = Beside(OptimizerExtraState)


def extra_state_of(optimizer: Any) -> OptimizerExtraState | None:
    """Returns the stand-in for the extra state of an optimizer: always the same object.

    None if its class does not override both `state_dict` and `load_state_dict`.
    """
    cls = type(optimizer)
    if cls.state_dict is _Optimizer.state_dict or cls.load_state_dict is _Optimizer.load_state_dict:
        return None
    return _extra_states.of(optimizer)
