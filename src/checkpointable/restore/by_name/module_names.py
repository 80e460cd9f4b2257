"""Names of tensors as a `state_dict` has them, for files that others wrote (S38)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from checkpointable.errors import shown_path
from checkpointable.graph.paths import join, split
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import ValueSpec
from checkpointable.graph.walk import ObjectWalk, walk
from checkpointable.restore.by_name.file_names import FileNames
from checkpointable.restore.by_name.name_based import (
    NamedValue,
    Names,
    check_paths,
    named_values,
    values_of,
)

__all__ = ["module_values"]


def module_values(
    root: Any,
    attached: Sequence[tuple[str, Any]],
    names: Names | None,
    module: str | None,
    present: FileNames,
) -> list[NamedValue]:
    """Every value of one module, by the names that its `state_dict` has for it.

    A value with several names (tied weights) goes by the first that is `present`. Wrappers
    around the module that was saved are looked through, and so is the dict that holds its state
    dict within the file.

    Args:
      names: as in `restore`, from the paths of the whole program: what is outside the module,
        and has a name by this, is restored too. Where there is no module, all else goes by its
        own global name.
      module: its path; None: the only outermost one there is.

    Raises:
      ValueError: there is no such module, or several and `module` is None; `names` has a path that
        the program has not.
    """
    found = walk(root, adapter_of, attached)
    if module is None:
        modules = _outermost_modules(found)
        if not modules:
            return _values_without_module(root, attached, names)
        # Where a function names everything there is nothing to be relative to.
        if len(modules) > 1 and not callable(names):
            raise ValueError(
                "the program has several modules "
                f"({', '.join(shown_path(path) for path in modules)}): module= selects "
                "the one that the names are relative to"
            )
        module = modules[0] if len(modules) == 1 else None
    values = [] if module is None else _inside(root, attached, names, module, present)
    if names is not None:
        everything = values_of(root, attached, names, own_names=False)
        check_paths(names, [*values, *everything])
        # By notes: an object may be reached by another path first than that through its module.
        inside = {(id(value.notes), value.attribute) for value in values}
        # A function may well say something of every path: beside a module that is no demand.
        is_demand = module is None or not callable(names)
        values += [
            value
            for value in everything
            if (value.name in present or (is_demand and value.name))
            and (id(value.notes), value.attribute) not in inside
        ]
    return values


def _inside(
    root: Any,
    attached: Sequence[tuple[str, Any]],
    names: Names | None,
    module: str,
    present: FileNames,
) -> list[NamedValue]:
    """The values of the module at `module`."""
    below = walk(_at(root, attached, module), adapter_of)
    aliases = _aliases(below)
    section = ""
    if not callable(names):  # a function names everything itself
        section = present.section([own for own in aliases if own], ".".join(split(module)))
    values: list[NamedValue] = []
    for node_id, obj in enumerate(below.objects):
        adapter = below.adapters[node_id]
        own = adapter.values(obj)
        inner = below.path(node_id)
        path = "/".join(part for part in (module, inner) if part)
        own_names = aliases[node_id] if len(own) == 1 else []
        name = present.find(own_names, section) or (own_names or [""])[0]
        if names is not None:
            given = names.get(path, name) if isinstance(names, Mapping) else names(path)
            name = given or ""
        notes = adapter.notes(obj)
        for attribute, made in own.items():
            value = made if isinstance(made, ValueSpec) else made(name)
            values.append(NamedValue(path, attribute, name, notes, value))
    return values


def _values_without_module(
    root: Any, attached: Sequence[tuple[str, Any]], names: Names | None
) -> list[NamedValue]:
    values = named_values(root, attached, names)
    if not any(value.name for value in values):
        raise ValueError(
            "the program has no module whose state_dict names could be looked up, and nothing in "
            "it has a global name; names= says under which names to look"
        )
    return values


def _outermost_modules(found: ObjectWalk) -> list[str]:
    """Their paths."""
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
            outermost.setdefault(id(adapter.notes(found.objects[node_id])), found.path(node_id))
    return list(outermost.values())


def _at(root: Any, attached: Sequence[tuple[str, Any]], path: str) -> Any:
    obj, extra = root, dict(attached)
    for local_name in split(path):
        adapter = adapter_of(obj)
        inner = None if adapter is None else adapter.child(obj, local_name)
        if inner is None:
            inner = extra.get(local_name)
        if inner is None:
            raise ValueError(f"module={path!r}: the program has no object there")
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
