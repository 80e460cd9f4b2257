"""Modules that are Checkpointables, too: both answer for them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import Any, cast

from checkpointable.adapters.torch.modules.modules import ModuleAdapter
from checkpointable.adapters.torch.watch import module_watcher
from checkpointable.graph.adapter import Adapter, RestoreNotes
from checkpointable.graph.value import Value, ValueFactory

__all__ = ["MixedAdapter"]


class MixedAdapter(Adapter):
    """What is assigned is tracked as in a Checkpointable, what is registered as in a module.

    Args:
      own: the adapter of the class as a Checkpointable.
      module: its adapter as a module.
    """

    names_dependencies = True
    watcher = module_watcher

    def __init__(self, own: Adapter, module: ModuleAdapter) -> None:
        self._own = own
        self._module = module

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        found = dict(self._own.children(obj))
        for name, child in self._module.children(obj):
            found.setdefault(name, child)
        return found.items()

    def child(self, obj: Any, local_name: str) -> Any | None:
        found = self._own.child(obj, local_name)
        return self._module.child(obj, local_name) if found is None else found

    def values(self, obj: Any) -> Mapping[str, Value | ValueFactory]:
        values, more = self._own.values(obj), self._module.values(obj)
        # Not one dict of both: a module's state has, for a restore, more values than it lists.
        return ChainMap(cast("Any", values), cast("Any", more)) if values else more

    def notes(self, obj: Any) -> RestoreNotes:
        return self._own.notes(obj)
