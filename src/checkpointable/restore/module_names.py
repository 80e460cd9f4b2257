"""Names of tensors as a `state_dict` has them, for files that others wrote (S38)."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from checkpointable.adapters.registry import adapter_of
from checkpointable.graph.paths import join, split
from checkpointable.graph.value import Value
from checkpointable.graph.walk import ObjectWalk, walk
from checkpointable.restore.name_based import NamedValue, Names

__all__ = ["module_values"]


def module_values(
    root: Any,
    attached: Sequence[tuple[str, Any]],
    names: Names | None,
    prefix: str | None,
    present: Container[object],
) -> list[NamedValue]:
    """Every value of one module, by the names that its `state_dict` has for it.

    A value with several names (tied weights) goes by the first that is `present`.

    Args:
      names: as in `restore`, from the paths of the whole program.
      prefix: path of the module; None: the only outermost one there is.

    Raises:
      ValueError: there is no such module, or several and no prefix.
    """
    found = walk(root, adapter_of, attached)
    if prefix is None:
        prefix = _only_module(found)
    module = _at(root, attached, prefix)
    below = walk(module, adapter_of)
    aliases = _aliases(below)
    values: list[NamedValue] = []
    for node_id, obj in enumerate(below.objects):
        adapter = below.adapters[node_id]
        own = adapter.values(obj)
        inner = below.path(node_id)
        path = "/".join(part for part in (prefix, inner) if part)
        own_names = aliases[node_id] if len(own) == 1 else []
        name = next((alias for alias in own_names if alias in present), (own_names or [""])[0])
        if names is not None:
            given = names.get(path, name) if isinstance(names, Mapping) else names(path)
            name = given or ""
        record = adapter.record(obj)
        for attribute, made in own.items():
            value = made if isinstance(made, Value) else made(name)
            values.append(NamedValue(path, attribute, name, record, value))
    return values


def _only_module(found: ObjectWalk) -> str:
    outermost: dict[int, str] = {}
    inner = {
        child.node_id
        for node_id, adapter in enumerate(found.adapters)
        if adapter.names_dependencies
        for child in found.children[node_id]
    }
    for node_id, adapter in enumerate(found.adapters):
        if adapter.names_dependencies and node_id not in inner:
            # A module and its wrapper are one.
            outermost.setdefault(id(adapter.record(found.objects[node_id])), found.path(node_id))
    paths = list(outermost.values())
    if len(paths) == 1:
        return paths[0]
    if not paths:
        raise ValueError(
            "the program has no module whose state_dict names could be looked up; names= says "
            "under which names to look"
        )
    raise ValueError(
        f"the program has several modules ({', '.join(path or 'the root' for path in paths)}): "
        "prefix= says which one the names are relative to"
    )


def _at(root: Any, attached: Sequence[tuple[str, Any]], path: str) -> Any:
    obj, extra = root, dict(attached)
    for local_name in split(path):
        adapter = adapter_of(obj)
        inner = None if adapter is None else adapter.child(obj, local_name)
        if inner is None:
            inner = extra.get(local_name)
        if inner is None:
            raise ValueError(f"prefix {path!r}: the program has no object there")
        obj, extra = inner, {}
    return obj


def _aliases(found: ObjectWalk) -> list[list[str]]:
    """All names of every object, the first one of its path first."""
    aliases: list[list[str]] = [[] for _ in found.objects]
    for node_id in range(len(found.objects)):
        path = found.path(node_id)
        if node_id:
            first = ".".join(split(path))
            aliases[node_id] = [first, *(name for name in aliases[node_id] if name != first)]
        for child in found.children[node_id]:
            name = ".".join(split(join(path, child.local_name)))
            if name not in aliases[child.node_id]:
                aliases[child.node_id].append(name)
    return aliases
