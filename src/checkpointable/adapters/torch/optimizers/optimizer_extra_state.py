"""What an optimizer has beside the state of its parameters: optimizers within, state of its own.

Optimizers of third parties wrap others (Lookahead, SAM, ZeRO) and add to their `state_dict`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.state.values import StateValues
from checkpointable.graph.adapter import Adapter, RestoreNotes
from checkpointable.graph.value import Value, ValueFactory

__all__ = ["OwnState", "OwnStateAdapter", "inner_optimizers", "own_state"]

_Optimizer = torch.optim.Optimizer


def inner_optimizers(optimizer: Any) -> dict[str, Any]:
    """The optimizers that this one wraps, by attribute; several of one by `<attribute>/<item>`.

    One whose state *is* this one's is left out: its state is saved as this one's, so that
    wrapped and bare programs read each other's checkpoints.
    """
    found: dict[str, Any] = {}
    for name, item in vars(optimizer).items():
        if isinstance(item, _Optimizer):
            found[name] = item
        elif type(item) in (list, tuple, dict):
            pairs = item.items() if type(item) is dict else enumerate(item)
            found |= {f"{name}/{k}": one for k, one in pairs if isinstance(one, _Optimizer)}
    return {name: one for name, one in found.items() if one.state is not optimizer.state}


class OwnState:
    """Stands for what a class of optimizers adds to its `state_dict`."""

    def __init__(self, optimizer: weakref.ref[Any]) -> None:
        self.notes = RestoreNotes(self)
        self._optimizer = optimizer

    def get(self) -> dict[str, Any]:
        """What it adds. Not what is there of its parameters, or of optimizers that it wraps."""
        optimizer = self._optimizer()
        try:
            whole = optimizer.state_dict()  # type: ignore[union-attr]
        except Exception:  # noqa: BLE001 (ZeRO, for one, has none before its processes have met)
            return {}
        told = {
            id(tensor) for one in _family(optimizer) for tensor in _tensors(list(one.state.items()))
        }
        return {
            key: item
            for key, item in whole.items()
            if key not in _STANDARD
            and not (isinstance(item, dict) and item.keys() == _STANDARD)
            and not any(id(tensor) in told for tensor in _tensors(item))
        }

    def put(self, state: dict[str, Any], _: int) -> None:
        """Has the optimizer take it, by its own way of loading, and nothing but it."""
        optimizer: Any = self._optimizer()
        whole = optimizer.state_dict()
        family = _family(optimizer)
        # Loading replaces the state of the parameters by copies of it; whatever refers to the
        # state is to go on to.
        kept = {id(held): held for one in family for held in (one.state, one.param_groups)}
        places = [
            (vars(one), name, item)
            for one in family
            for name, item in vars(one).items()
            if id(item) in kept
        ]
        try:
            optimizer.load_state_dict({**whole, **state})
        finally:
            for attributes, name, item in places:
                attributes[name] = item


_STANDARD = {"state", "param_groups"}


def _family(optimizer: Any) -> list[Any]:
    """The optimizer and all within it."""
    found = [optimizer]
    for one in found:
        for inner in vars(one).values():
            if isinstance(inner, _Optimizer) and all(inner is not other for other in found):
                found.append(inner)
        known = [id(other) for other in found]
        found += [inner for inner in inner_optimizers(one).values() if id(inner) not in known]
    return found


def _tensors(item: Any) -> Iterator[Any]:
    if isinstance(item, torch.Tensor):
        yield item
    elif isinstance(item, (dict, list, tuple)):
        for inner in item.values() if isinstance(item, dict) else item:
            yield from _tensors(inner)


_own: Beside[OwnState] = Beside(OwnState)


def own_state(optimizer: Any) -> OwnState | None:
    """What stands for it, always the same object; None if the class says nothing of its own."""
    cls = type(optimizer)
    if cls.state_dict is _Optimizer.state_dict or cls.load_state_dict is _Optimizer.load_state_dict:
        return None
    return _own.of(optimizer)


class OwnStateAdapter(Adapter):
    """What an optimizer adds to its `state_dict`."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        return ()

    def child(self, obj: Any, local_name: str) -> Any | None:
        return None

    def values(self, obj: Any) -> Mapping[str, Value | ValueFactory]:
        return StateValues(obj.get, obj.put, what="the optimizer's load_state_dict")

    def notes(self, obj: Any) -> RestoreNotes:
        notes: RestoreNotes = obj.notes
        return notes
