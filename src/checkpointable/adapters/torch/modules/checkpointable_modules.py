"""Modules that are Checkpointables too."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from torch import nn

from checkpointable.adapters.torch.modules.modules import ModuleAdapter
from checkpointable.adapters.torch.modules.watch import module_watcher
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["CheckpointableModuleAdapter"]


class CheckpointableModuleAdapter(Adapter):
    """Tracks what is assigned, as a Checkpointable does, and what is registered, as a module does.

    Args:
      checkpointable: the adapter of the class as a Checkpointable.
      module: its adapter as a module.
    """

    names_dependencies = True
    may_overlook = True
    watcher = module_watcher

    def __init__(self, checkpointable: Adapter, module: ModuleAdapter) -> None:
        self._checkpointable = checkpointable
        self._module = module

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        children = dict(self._checkpointable.children(obj))
        for name, child in self._module.children(obj):
            children.setdefault(name, child)
        return children.items()

    def child(self, obj: Any, local_name: str) -> Any | None:
        child = self._checkpointable.child(obj, local_name)
        return self._module.child(obj, local_name) if child is None else child

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        values, more = self._checkpointable.values(obj), self._module.values(obj)
        # Not merged into one dict: the state of a module accepts more names than it lists.
        return ChainMap(cast("Any", values), cast("Any", more)) if values else more

    def notes(self, obj: Any) -> RestoreNotes:
        return self._checkpointable.notes(obj)

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        for name, what in self._checkpointable.overlooked(obj, node_id):
            if name not in _OF_PYTORCH:
                yield name, what


_OF_PYTORCH = frozenset(vars(nn.Module()))
