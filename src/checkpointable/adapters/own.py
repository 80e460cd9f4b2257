"""Adapters of the library's objects: Checkpointables, variables, tracked containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.graph.adapter import Adapter, Watcher
from checkpointable.graph.memory import aligned_empty
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.restore_notes import PendingChild, RestoreNotes
from checkpointable.graph.slots import NewSlot, Slots
from checkpointable.tracking.base import Checkpointable
from checkpointable.tracking.containers import TrackedContainer, notes_of
from checkpointable.tracking.dependencies import DEPENDENCIES_NAME, dependencies_of
from checkpointable.tracking.optimizer import Optimizer
from checkpointable.tracking.overlooked import overlooked
from checkpointable.tracking.variable import Variable, VariableValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["asked_again", "find_own"]

_PLAIN_DEPENDENCIES = Checkpointable.__dict__["_checkpoint_dependencies"]
_PLAIN_LOOKUP = Checkpointable._lookup_dependency
_NO_VALUES = Checkpointable._gather_saveables_for_checkpoint


class _AskedAgain(Watcher):
    """Watches objects that report no changes: every save, restore and status call checks them."""

    def start(self) -> None:
        """Installs nothing: there is no hook."""

    def stop(self) -> None:
        """Removes nothing."""


asked_again = _AskedAgain()


class _CheckpointableAdapter(Adapter):
    """Adapts Checkpointables by their hooks; bypasses hooks that a class does not override."""

    def __init__(self, cls: type) -> None:
        self._own_dependencies = (
            _defined(cls, "_checkpoint_dependencies") is not _PLAIN_DEPENDENCIES
        )
        self._has_values = cls._gather_saveables_for_checkpoint is not _NO_VALUES  # type: ignore[attr-defined]
        self._has_slots = hasattr(cls, "get_slot_names") and hasattr(cls, "get_slot")
        self.may_overlook = not issubclass(cls, Variable)
        if self._own_dependencies:
            # Changes of the result of its hooks are not reported.
            self.watcher = asked_again

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        if self._own_dependencies:
            dependencies: Iterable[tuple[str, Any]] = obj._checkpoint_dependencies
            return dependencies
        if DEPENDENCIES_NAME not in obj.__dict__:  # nothing was ever tracked
            return ()
        return dependencies_of(obj).by_name.items()

    def child(self, obj: Any, local_name: str) -> Any | None:
        return obj._lookup_dependency(local_name)

    def lookup(self, obj: Any) -> Callable[[str], Any | None]:
        if type(obj)._lookup_dependency is _PLAIN_LOOKUP and not self._own_dependencies:
            return dependencies_of(obj).by_name.get
        lookup: Callable[[str], Any | None] = obj._lookup_dependency
        return lookup

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        if not self._has_values:
            return {}
        values: Mapping[str, ValueSpec | ValueFactory] = obj._gather_saveables_for_checkpoint()
        return values

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        return overlooked(obj, node_id)

    notes = staticmethod(dependencies_of)

    def slots(self, obj: Any) -> Slots | None:
        return _OptimizerSlots(obj) if self._has_slots else None

    def full_name(self, obj: Any) -> str:
        return (obj.name or "") if isinstance(obj, Variable) else ""


class _VariableAdapter(_CheckpointableAdapter):
    """Adapts variables, the most frequent objects, in fewer steps than by their hooks."""

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return {VARIABLE_VALUE: VariableValue(obj._array)}

    def value_names(self, obj: Any) -> Iterable[str]:
        return (VARIABLE_VALUE,)

    def full_name(self, obj: Any) -> str:
        return obj.name or ""


class _OptimizerSlots(Slots):
    """The slots of an `Optimizer`, or of a Checkpointable with the same methods."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def names(self) -> Iterable[str]:
        names: Iterable[str] = self._optimizer.get_slot_names()
        return names

    def get(self, variable: Any, slot_name: str) -> Any | None:
        return self._optimizer.get_slot(variable, slot_name)

    def prepare(
        self, variable: Any, slot_name: str, dtype: np.dtype[Any] | None, shape: tuple[int, ...]
    ) -> NewSlot | None:
        optimizer = self._optimizer
        if dtype is None:
            return None
        array = np.empty(shape, dtype) if dtype.hasobject else aligned_empty(shape, dtype)
        values = {VARIABLE_VALUE: VariableValue(array)}
        if isinstance(optimizer, Optimizer):
            slot = optimizer._new_slot(variable, slot_name, array)
            return NewSlot(slot, values, lambda _: optimizer._keep_slot(variable, slot_name, slot))
        add_slot = getattr(optimizer, "add_slot", None)
        if add_slot is None:
            return None

        def keep(_: PendingChild) -> Any | None:
            add_slot(variable, slot_name, array)
            return self.get(variable, slot_name)

        return NewSlot(Variable._from_buffer(array, None), values, keep)


class _ContainerAdapter(Adapter):
    """Adapts tracked lists, dicts and tuples."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        # A list, so that errors about the container are raised here, and get its path.
        return list(obj._tracked_items())

    def child(self, obj: Any, local_name: str) -> Any | None:
        return obj._child(local_name)

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return {}

    def notes(self, obj: Any) -> RestoreNotes:
        return notes_of(obj)


def _defined(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


_container_adapter = _ContainerAdapter()


def find_own(cls: type) -> Adapter | None:
    """Returns the adapter of one of the library's classes, None for any other class."""
    if cls is Variable:
        return _VariableAdapter(cls)
    if issubclass(cls, Checkpointable):
        return _CheckpointableAdapter(cls)
    if issubclass(cls, TrackedContainer):
        return _container_adapter
    return None
