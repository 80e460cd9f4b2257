"""Param groups: an optimizer's hyperparameters, Python state of a node for each group.

A group is found by its `"name"`, if it has one that is its own, else by its position.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.state.values import StateValues
from checkpointable.adapters.torch.tensors.memory import fill_from
from checkpointable.adapters.torch.watch import optimizer_watcher
from checkpointable.graph.adapter import Adapter, RestoreNotes
from checkpointable.graph.paths import PYTHON_STATE
from checkpointable.graph.value import Value, ValueFactory

__all__ = [
    "ParamGroup",
    "ParamGroupAdapter",
    "ParamGroups",
    "ParamGroupsAdapter",
    "groups_of",
    "put_again",
]

# What a group says beside hyperparameters: its parameters are told by the graph, and how a step
# is computed is the program's business (a checkpoint of a GPU is continued on a CPU).
_NO_HYPERPARAMETERS = frozenset(
    ("params", "param_names", "foreach", "fused", "capturable", "differentiable")
)

# By what a group is found, so it stays what it is (a rename in `restore` may have led to it).
_IDENTITY = "name"

# Hyperparameters that are the class itself: a checkpoint of Adam does not make AdamW one.
_OF_THE_CLASS = {torch.optim.AdamW: frozenset(("decoupled_weight_decay",))}


class ParamGroups:
    """Stands for all groups of an optimizer.

    Attributes:
      optimizer: refers to it.
    """

    def __init__(self, optimizer: weakref.ref[Any]) -> None:
        self.notes = RestoreNotes(self)
        self.optimizer = optimizer
        self._groups: dict[str, ParamGroup] = {}

    def labelled(self) -> dict[str, dict[str, Any]]:
        """The groups by name or position."""
        optimizer = self.optimizer()
        groups = [] if optimizer is None else optimizer.param_groups
        names = [group.get("name") for group in groups]
        return {
            name
            if isinstance(name, str) and not name.isdecimal() and names.count(name) == 1
            else str(position): group
            for position, (name, group) in enumerate(zip(names, groups, strict=True))
        }

    def nodes(self) -> Iterable[tuple[str, ParamGroup]]:
        """The groups as objects, always the same one for the same name or position."""
        return [(label, self._node(label)) for label in self.labelled()]

    def node(self, label: str) -> ParamGroup | None:
        """The group of that name or position, None if there is none."""
        return self._node(label) if label in self.labelled() else None

    def _node(self, label: str) -> ParamGroup:
        if label not in self._groups:
            self._groups[label] = ParamGroup(self, label)
        return self._groups[label]


class ParamGroup:
    """Stands for one group of an optimizer.

    Attributes:
      restored: the hyperparameters that it had from a restore, and this one's uid; or None.
    """

    def __init__(self, groups: ParamGroups, label: str) -> None:
        self.notes = RestoreNotes(self)
        self.restored: tuple[dict[str, Any], int] | None = None
        self._groups = groups
        self._label = label

    def get(self) -> dict[str, Any]:
        """The hyperparameters."""
        group = self._groups.labelled()[self._label]
        return {key: item for key, item in group.items() if key not in _NO_HYPERPARAMETERS}

    def _is_shared(self, tensor: torch.Tensor, group: dict[str, Any]) -> bool:
        """Whether another group has this very tensor, too."""
        return any(
            item is tensor
            for other in self._groups.labelled().values()
            if other is not group
            for item in other.values()
        )

    def put(self, state: dict[str, Any], uid: int) -> None:
        """Takes hyperparameters from the restore `uid`."""
        self.restored = (state, uid)
        group = self._groups.labelled()[self._label]
        optimizer = self._groups.optimizer()
        own = {k for cls, keys in _OF_THE_CLASS.items() if isinstance(optimizer, cls) for k in keys}
        for key, item in state.items():
            if key in _NO_HYPERPARAMETERS or key in own or key == _IDENTITY:
                continue
            current = group.get(key)
            if isinstance(current, torch.Tensor) and isinstance(item, torch.Tensor):
                # A learning rate that a captured graph reads stays where it is. That of several
                # groups (the optimizer's default is one tensor) may stand for all of them only as
                # long as all have the same.
                if not self._is_shared(current, group) and fill_from(current, item):
                    continue
                if _same(current, item):
                    continue
            group[key] = _copy(item) if isinstance(item, torch.Tensor) else item


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return bool(torch.equal(one.detach().cpu(), other.detach().cpu()))


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    # A tensor that is made in inference mode could not be trained outside of it.
    with torch.inference_mode(False), torch.no_grad():
        return tensor.clone()


_groups: Beside[ParamGroups] = Beside(ParamGroups)


def groups_of(optimizer: Any) -> ParamGroups:
    """What stands for the groups of an optimizer: always the same object."""
    return _groups.of(optimizer)


def put_again(optimizer: Any, uid: int) -> None:
    """Puts the hyperparameters from the restore `uid` again, if it was the last to set them.

    A scheduler that is made later sets them as it begins.
    """
    for _, group in groups_of(optimizer).nodes():
        if group.restored is None or group.restored[1] != uid:
            continue
        if group.notes.last_uid(PYTHON_STATE) == uid:
            group.put(*group.restored)


class ParamGroupsAdapter(Adapter):
    """The groups of an optimizer as its dependency `param_groups`."""

    watcher = optimizer_watcher

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        nodes: Iterable[tuple[str, Any]] = obj.nodes()
        return nodes

    def child(self, obj: Any, local_name: str) -> Any | None:
        return obj.node(local_name)

    def values(self, obj: Any) -> Mapping[str, Value | ValueFactory]:
        return {}

    def notes(self, obj: Any) -> RestoreNotes:
        notes: RestoreNotes = obj.notes
        return notes


class ParamGroupAdapter(Adapter):
    """One group."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        return ()

    def child(self, obj: Any, local_name: str) -> Any | None:
        return None

    def values(self, obj: Any) -> Mapping[str, Value | ValueFactory]:
        return StateValues(obj.get, obj.put, what="the param group")

    def notes(self, obj: Any) -> RestoreNotes:
        notes: RestoreNotes = obj.notes
        return notes
