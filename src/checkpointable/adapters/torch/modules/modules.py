"""Modules: parameters, persistent buffers and submodules under their own names.

A module that only wraps another one (`torch.compile`, `DataParallel`,
`DistributedDataParallel`, Fabric's) is saved as the module inside, so that wrapped and bare
programs read each other's checkpoints.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.torch.modules.attributes import attribute, attributes
from checkpointable.adapters.torch.modules.extra_state import has_extra_state, state_values
from checkpointable.adapters.torch.modules.overlooked import overlooked
from checkpointable.adapters.torch.modules.watch import watcher_of
from checkpointable.adapters.torch.modules.wrapper_classes import SHARDED_MODULES, WRAPPED_MODULES
from checkpointable.adapters.torch.notes import notes_by_object
from checkpointable.adapters.torch.private_api import (
    has_state_dict_hooks,
    non_persistent_buffers,
    registered_buffers,
    registered_modules,
    registered_parameters,
)
from checkpointable.adapters.torch.tensors.meta import MetaBuffers
from checkpointable.adapters.torch.tensors.tensor_owners import has_owner_facts, note_owner
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.value import ValueFactory, ValueSpec

__all__ = ["ModuleAdapter", "WrapperAdapter", "find_module_adapter", "unwrap"]


class ModuleAdapter(Adapter):
    """Modules that are not wrappers.

    Args:
      cls: The class of the modules.
      has_attributes: Whether objects in plain attributes are dependencies too.
    """

    names_dependencies = True
    may_overlook = True

    def __init__(self, cls: type, *, has_attributes: bool = True) -> None:
        self._has_attributes = has_attributes
        self.watcher = watcher_of(cls)
        self._has_extra_state = has_extra_state(cls)
        self._has_owner_facts = has_owner_facts(cls)

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        parameters, buffers = registered_parameters(obj), registered_buffers(obj)
        if self._has_owner_facts:
            note_owner(obj, (*parameters.values(), *buffers.values()))
        children = [(name, tensor) for name, tensor in parameters.items() if tensor is not None]
        if buffers:
            left_out = non_persistent_buffers(obj)
            children += [
                (name, tensor)
                for name, tensor in buffers.items()
                if tensor is not None and name not in left_out
            ]
        modules = registered_modules(obj)
        children += [(name, module) for name, module in modules.items() if module is not None]
        if self._has_attributes:
            children += attributes(obj)
        return children

    def child(self, obj: Any, local_name: str) -> Any | None:
        child = _item(registered_parameters(obj), local_name)
        if child is None:
            child = _item(registered_modules(obj), local_name)
        if child is None and local_name not in non_persistent_buffers(obj):
            child = _item(registered_buffers(obj), local_name)
        if child is None and self._has_attributes:
            return attribute(obj, local_name)
        if self._has_owner_facts:
            note_owner(obj, (child,))
        return child

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        return state_values(obj) if self._has_extra_state or has_state_dict_hooks(obj) else {}

    def notes(self, obj: Any) -> RestoreNotes:
        return notes_by_object.of(obj)

    def outside_state_dict(self, obj: Any) -> Iterable[str]:
        return [name for name, _ in attributes(obj)] if self._has_attributes else ()

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        return overlooked(obj, node_id)

    def initializable(self, obj: Any) -> ValueSpec | None:
        left_out = non_persistent_buffers(obj)
        if not left_out:
            return None
        buffers = {name: registered_buffers(obj).get(name) for name in sorted(left_out)}
        on_meta = {name: b for name, b in buffers.items() if b is not None and b.is_meta}
        return MetaBuffers(on_meta) if on_meta else None


def _item(table: Any, name: str) -> Any | None:
    if type(table) is dict:
        return table.get(name)
    # The tables of scripted modules are not dicts and have no `get`.
    return table[name] if name in table else None  # noqa: SIM401


class WrapperAdapter(Adapter):
    """Modules that wrap another one: the adapter of the module inside answers."""

    names_dependencies = True
    may_overlook = True

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        inner, adapter = _inside(obj)
        return adapter.children(inner)

    def child(self, obj: Any, local_name: str) -> Any | None:
        inner, adapter = _inside(obj)
        return adapter.child(inner, local_name)

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        inner, adapter = _inside(obj)
        return adapter.values(inner)

    def notes(self, obj: Any) -> RestoreNotes:
        inner, adapter = _inside(obj)
        return adapter.notes(inner)

    def outside_state_dict(self, obj: Any) -> Iterable[str]:
        inner, adapter = _inside(obj)
        return adapter.outside_state_dict(inner)

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        inner, adapter = _inside(obj)
        return adapter.overlooked(inner, node_id) if adapter.may_overlook else ()

    def initializable(self, obj: Any) -> ValueSpec | None:
        inner, adapter = _inside(obj)
        return adapter.initializable(inner)


def _inside(wrapper: Any) -> tuple[Any, Adapter]:
    inner = unwrap(wrapper)
    adapter = adapter_of(inner)
    assert adapter is not None
    return inner, adapter


def unwrap(module: Any) -> Any:
    """Returns the module inside all wrappers; the module itself if it is no wrapper."""
    while True:
        cls: Any = type(module)
        name = _inner_names.of(cls)
        if name is None:
            return module
        module = registered_modules(module)[name]


def _inner_name(reference: weakref.ref[Any]) -> str | None:
    """Returns the name of the module inside a wrapper class; None for other classes."""
    cls = reference()
    assert cls is not None
    for base in cls.__mro__:
        name = WRAPPED_MODULES.get(_class_name(base))
        if name is not None:
            return name
    return None


# Does not keep classes alive: a class that is made for one module may refer to that module.
_inner_names: Beside[str | None] = Beside(_inner_name)


class ShardedAdapter(ModuleAdapter):
    """Modules that keep a part of their parameters in each process: refused."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        raise CheckpointUnsupportedError(_why_sharded(obj))

    def child(self, obj: Any, local_name: str) -> Any | None:
        raise CheckpointUnsupportedError(_why_sharded(obj))


def _why_sharded(module: Any) -> str:
    return (
        f"{type(module).__name__} flattens its parameters and keeps a part of them in each "
        "process. Gather them with torch.distributed.checkpoint.state_dict.get_model_state_dict "
        "and full_state_dict=True, and save an object whose state_dict() returns the result"
    )


def find_module_adapter(cls: type) -> Adapter:
    """Returns the adapter of a class of modules."""
    if any(_class_name(base) in SHARDED_MODULES for base in cls.__mro__):
        return ShardedAdapter(cls)
    return WrapperAdapter() if _inner_names.of(cls) is not None else ModuleAdapter(cls)


def _class_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
