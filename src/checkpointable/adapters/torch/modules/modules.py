"""Modules: parameters, persistent buffers and submodules under their own names.

What wraps a module (`torch.compile`, `DataParallel`, `DistributedDataParallel`) is taken for
the module inside, so that wrapped and bare programs read each other's checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from checkpointable.adapters.torch.modules.extra_state import has_more_state, more_state
from checkpointable.adapters.torch.modules.wrappers import inner_name, unwrap
from checkpointable.adapters.torch.notes import notes_by_object
from checkpointable.adapters.torch.tensors.meta import MetaBuffers
from checkpointable.adapters.torch.tensors.tensor_owners import keeps_notes, note_owner
from checkpointable.adapters.torch.watch import watcher_of
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.adapter import Adapter, RestoreNotes
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import Value, ValueFactory

__all__ = ["ModuleAdapter", "WrapperAdapter", "find_module_adapter"]


class ModuleAdapter(Adapter):
    """Modules that are not wrappers."""

    names_dependencies = True

    def __init__(self, cls: type) -> None:
        self.watcher = watcher_of(cls)
        self._has_more = has_more_state(cls)
        self._keeps_notes = keeps_notes(cls)

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        if self._keeps_notes:
            note_owner(obj, (*obj._parameters.values(), *obj._buffers.values()))
        found = [(name, tensor) for name, tensor in obj._parameters.items() if tensor is not None]
        if obj._buffers:
            left_out = obj._non_persistent_buffers_set
            found += [
                (name, tensor)
                for name, tensor in obj._buffers.items()
                if tensor is not None and name not in left_out
            ]
        found += [(name, module) for name, module in obj._modules.items() if module is not None]
        return found

    def child(self, obj: Any, local_name: str) -> Any | None:
        found = _item(obj._parameters, local_name)
        if found is None:
            found = _item(obj._modules, local_name)
        if found is None and local_name not in obj._non_persistent_buffers_set:
            found = _item(obj._buffers, local_name)
        if self._keeps_notes:
            note_owner(obj, (found,))
        return found

    def values(self, obj: Any) -> Mapping[str, Value | ValueFactory]:
        return more_state(obj) if self._has_more or obj._state_dict_hooks else {}

    def notes(self, obj: Any) -> RestoreNotes:
        return notes_by_object.of(obj)

    def initializable(self, obj: Any) -> Value | None:
        left_out = obj._non_persistent_buffers_set
        if not left_out:
            return None
        buffers = {name: obj._buffers.get(name) for name in sorted(left_out)}
        on_meta = {name: b for name, b in buffers.items() if b is not None and b.is_meta}
        return MetaBuffers(on_meta) if on_meta else None


class WrapperAdapter(Adapter):
    """What wraps a module: the module inside answers for it."""

    names_dependencies = True

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        inner, adapter = _inside(obj)
        return adapter.children(inner)

    def child(self, obj: Any, local_name: str) -> Any | None:
        inner, adapter = _inside(obj)
        return adapter.child(inner, local_name)

    def values(self, obj: Any) -> Mapping[str, Value | ValueFactory]:
        inner, adapter = _inside(obj)
        return adapter.values(inner)

    def notes(self, obj: Any) -> RestoreNotes:
        inner, adapter = _inside(obj)
        return adapter.notes(inner)

    def initializable(self, obj: Any) -> Value | None:
        inner, adapter = _inside(obj)
        return adapter.initializable(inner)


def _item(table: Any, name: str) -> Any | None:
    if type(table) is dict:
        return table.get(name)
    # What a scripted module has is no dict, and has no `get`.
    return table[name] if name in table else None  # noqa: SIM401


class ShardedAdapter(ModuleAdapter):
    """Modules that keep a part of their parameters in each process: refused."""

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        raise CheckpointUnsupportedError(_sharded(obj))

    def child(self, obj: Any, local_name: str) -> Any | None:
        raise CheckpointUnsupportedError(_sharded(obj))


def _sharded(module: Any) -> str:
    return (
        f"{type(module).__name__} keeps its parameters flattened, a part of them in each process; "
        "torch.distributed.checkpoint.state_dict.get_model_state_dict with full_state_dict=True "
        "gathers them, and an object whose state_dict() returns that can be saved"
    )


def _inside(wrapper: Any) -> tuple[Any, Adapter]:
    inner = unwrap(wrapper)
    adapter = adapter_of(inner)
    assert adapter is not None
    return inner, adapter


_SHARDED = frozenset(
    ("torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel",)
)


def find_module_adapter(cls: type) -> Adapter:
    """The adapter of a class of modules."""
    if any(f"{base.__module__}.{base.__qualname__}" in _SHARDED for base in cls.__mro__):
        return ShardedAdapter(cls)
    return WrapperAdapter() if inner_name(cls) is not None else ModuleAdapter(cls)
