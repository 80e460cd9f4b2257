"""Param groups: the hyperparameters of an optimizer, as Python state of one node per group.

A group is identified by its `"name"` if no other group has the same one, else by its position.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.state.values import StateValues
from checkpointable.adapters.torch.optimizers.stand_ins import StandIn
from checkpointable.adapters.torch.tensors.arrays import fill_from
from checkpointable.graph.paths import PYTHON_STATE
from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["ParamGroup", "ParamGroups", "groups_of", "put_again"]

# Entries of a group that are no hyperparameters. Its parameters are in the graph, and the program
# decides how a step is computed: a checkpoint of a GPU may be continued on a CPU.
_NO_HYPERPARAMETERS = frozenset(
    ("params", "param_names", "foreach", "fused", "capturable", "differentiable")
)

# Identifies the group. The one in the checkpoint differs if `restore` renames it.
_IDENTITY = "name"

# Hyperparameters that define the class: a checkpoint of Adam must not turn AdamW into Adam.
_OF_THE_CLASS = {torch.optim.AdamW: frozenset(("decoupled_weight_decay",))}


class ParamGroups(StandIn):
    """Stands for all groups of an optimizer.

    Attributes:
      optimizer: a weak reference to it.
    """

    def __init__(self, optimizer: weakref.ref[Any]) -> None:
        super().__init__()
        self.optimizer = optimizer
        self._nodes: dict[str, ParamGroup] = {}

    def labelled(self) -> dict[str, dict[str, Any]]:
        """Returns the groups of the optimizer by name or position."""
        optimizer = self.optimizer()
        groups = [] if optimizer is None else optimizer.param_groups
        names = [group.get("name") for group in groups]
        return {
            name
            if isinstance(name, str) and not name.isdecimal() and names.count(name) == 1
            else str(position): group
            for position, (name, group) in enumerate(zip(names, groups, strict=True))
        }

    def children(self) -> Iterable[tuple[str, ParamGroup]]:
        return [(label, self._node(label)) for label in self.labelled()]

    def child(self, local_name: str) -> ParamGroup | None:
        return self._node(local_name) if local_name in self.labelled() else None

    def _node(self, label: str) -> ParamGroup:
        node = self._nodes.get(label)
        return node or self._nodes.setdefault(label, ParamGroup(self, label))


class ParamGroup(StandIn):
    """Stands for one group of an optimizer.

    Attributes:
      restored: the hyperparameters that a restore set last, and the uid of the restore; or None.
    """

    def __init__(self, groups: ParamGroups, label: str) -> None:
        super().__init__()
        self.restored: tuple[dict[str, Any], int] | None = None
        self._groups = groups
        self._label = label

    def values(self) -> Mapping[str, ValueSpec | ValueFactory]:
        return StateValues(self._get, self.put, what="the param group")

    def _get(self) -> dict[str, Any]:
        group = self._groups.labelled()[self._label]
        return {key: item for key, item in group.items() if key not in _NO_HYPERPARAMETERS}

    def put(self, state: dict[str, Any], uid: int) -> None:
        """Sets hyperparameters.

        Args:
          state: the hyperparameters by name.
          uid: the restore that they come from.
        """
        self.restored = (state, uid)
        group = self._groups.labelled()[self._label]
        optimizer = self._groups.optimizer()
        fixed = {
            key for cls, keys in _OF_THE_CLASS.items() if isinstance(optimizer, cls) for key in keys
        }
        for key, item in state.items():
            if key in _NO_HYPERPARAMETERS or key in fixed or key == _IDENTITY:
                continue
            current = group.get(key)
            if isinstance(current, torch.Tensor) and isinstance(item, torch.Tensor):
                # A learning rate that a captured graph reads must remain the same tensor. One that
                # several groups share (the default of an optimizer is one tensor) may remain only
                # while all of them have the same value.
                if not self._is_shared(current, group) and fill_from(current, item):
                    continue
                if _equal(current, item):
                    continue
            group[key] = _copy(item) if isinstance(item, torch.Tensor) else item

    def _is_shared(self, tensor: torch.Tensor, group: dict[str, Any]) -> bool:
        """Returns whether another group holds this very tensor."""
        return any(
            item is tensor
            for other in self._groups.labelled().values()
            if other is not group
            for item in other.values()
        )


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return bool(torch.equal(one.detach().cpu(), other.detach().cpu()))


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    # A tensor that is made in inference mode cannot be trained outside it.
    with torch.inference_mode(False), torch.no_grad():
        return tensor.clone()


_groups: Beside[ParamGroups] = Beside(ParamGroups)


def groups_of(optimizer: Any) -> ParamGroups:
    """Returns the stand-in for the groups of an optimizer: always the same object."""
    return _groups.of(optimizer)


def put_again(optimizer: Any, uid: int) -> None:
    """Sets the hyperparameters from restore `uid` again, unless a later restore has set them.

    A scheduler sets hyperparameters when it is constructed, perhaps after the restore.
    """
    for _, group in groups_of(optimizer).children():
        if group.restored is None or group.restored[1] != uid:
            continue
        if group.notes.last_uid(PYTHON_STATE) == uid:
            group.put(*group.restored)
