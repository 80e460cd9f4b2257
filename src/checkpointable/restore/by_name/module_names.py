"""Names values as the `state_dict` of a module does, to restore files of other libraries (S38)."""

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
    """Returns the values of one module, with the names that its `state_dict` has for them.

    A value with several names (tied weights) has the first one that is `present`. Names of
    wrappers, and of the dict within the file that is the state dict, are ignored.

    Args:
      root: the root of the program.
      attached: further dependencies of the root, which it does not track itself.
      names: maps paths to names, as in `restore`; also names values outside the module. If the
        program has no module, the other values have their global name.
      module: the path of the module; None for the only outermost one.
      present: the names in the file.

    Raises:
      ValueError: The program has no such module, or several and `module` is None; or `names` has a
        path that the program lacks.
    """
    program = walk(root, adapter_of, attached)
    if module is None:
        modules = _outermost_modules(program)
        if not modules:
            return _values_without_module(root, attached, names)
        # If a function names everything, no name is relative to a module.
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
        # By notes, not by path: the first path of an object may not lead through its module.
        inside = {(id(value.notes), value.attribute) for value in values}
        # A function may return a name for every path. Outside a module, names that the file lacks
        # then do not count as missing.
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
    """Returns the values of the module with the path `module`."""
    below = walk(_at(root, attached, module), adapter_of)
    aliases = _aliases(below)
    section = ""
    if not callable(names):  # a function names everything itself
        section = present.section([own for own in aliases if own], ".".join(split(module)))
    values: list[NamedValue] = []
    in_state_dict = _in_state_dict(below)
    for node_id, obj in enumerate(below.objects):
        if names is None and node_id not in in_state_dict:
            continue
        adapter = below.adapters[node_id]
        object_values = adapter.values(obj)
        inner = below.path(node_id)
        path = "/".join(part for part in (module, inner) if part)
        own_names = aliases[node_id] if len(object_values) == 1 else []
        name = present.find(own_names, section) or (own_names or [""])[0]
        if names is not None:
            given = names.get(path, name) if isinstance(names, Mapping) else names(path)
            name = given or ""
        notes = adapter.notes(obj)
        for attribute, value_or_factory in object_values.items():
            value = value_or_factory
            if not isinstance(value, ValueSpec):
                value = value(name)
            values.append(NamedValue(path, attribute, name, notes, value))
    return values


def _in_state_dict(program: ObjectWalk) -> set[int]:
    """Returns the nodes that the `state_dict` of the root has."""
    reached, stack = {0}, [0]
    while stack:
        node_id = stack.pop()
        left_out = set(program.adapters[node_id].outside_state_dict(program.objects[node_id]))
        for child in program.children[node_id]:
            if child.local_name not in left_out and child.node_id not in reached:
                reached.add(child.node_id)
                stack.append(child.node_id)
    return reached


def _values_without_module(
    root: Any, attached: Sequence[tuple[str, Any]], names: Names | None
) -> list[NamedValue]:
    values = named_values(root, attached, names)
    if not any(value.name for value in values):
        raise ValueError(
            "the program has no module with a state_dict, and no object with a global name. Map "
            "paths to names with names="
        )
    return values


def _outermost_modules(program: ObjectWalk) -> list[str]:
    """Returns the paths of the modules that no other module contains."""
    outermost: dict[int, str] = {}
    inner = {
        child.node_id
        for node_id, adapter in enumerate(program.adapters)
        if adapter.names_dependencies
        for child in program.children[node_id]
    }
    for node_id, adapter in enumerate(program.adapters):
        if adapter.names_dependencies and node_id not in inner:
            # A module and its wrapper are one.
            outermost.setdefault(id(adapter.notes(program.objects[node_id])), program.path(node_id))
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


def _aliases(program: ObjectWalk) -> list[list[str]]:
    """Returns the names of every object; the name of its path comes first."""
    aliases: list[list[str]] = [[] for _ in program.objects]
    for node_id in range(len(program.objects)):
        path = program.path(node_id)
        if node_id:
            first = ".".join(split(path))
            aliases[node_id] = [first, *(name for name in aliases[node_id] if name != first)]
        for child in program.children[node_id]:
            name = ".".join(split(join(path, child.local_name)))
            if name not in aliases[child.node_id]:
                aliases[child.node_id].append(name)
    return aliases
