"""The variables of a `Saver` by their global names, partitioned ones by that of the whole (S40)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from checkpointable.adapters.registry import adapter_of
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.graph.value import Value

__all__ = ["variables_by_name"]


def variables_by_name(var_list: Iterable[Any] | Mapping[str, Any]) -> dict[str, list[Any]]:
    """Name -> its variable, or those that are its parts."""
    if isinstance(var_list, Mapping):
        named = [(name, own) for name, given in var_list.items() for own in _parts_of(given)]
    else:
        named = [(_own_name(own), own) for given in var_list for own in _parts_of(given)]
    variables: dict[str, list[Any]] = {}
    for name, variable in named:
        if adapter_of(variable) is None or len(_attributes(variable)) != 1:
            raise TypeError(
                f"Saver: {name or 'an item of var_list'} is a {type(variable).__name__}, which "
                "is not an object with one value"
            )
        if not name:
            raise ValueError(
                f"Saver: {variable!r} has no name; give a mapping of names to variables"
            )
        if name in variables and not (_is_part(variable) and _is_part(variables[name][0])):
            raise ValueError(f"Saver: two variables are named {name!r}")
        if name == GRAPH_KEY:
            raise ValueError(f"Saver: the name {name!r} belongs to object graphs")
        variables.setdefault(name, []).append(variable)
    if not variables:
        raise ValueError("Saver: var_list has no variables")
    return variables


def _parts_of(given: Any) -> list[Any]:
    """A variable, or the parts of a partitioned one."""
    if isinstance(given, (list, tuple)):
        return [own for each in given for own in _parts_of(each)]
    adapter = adapter_of(given)
    children = [] if adapter is None or _attributes(given) else list(adapter.children(given))
    if children and all(_is_part(child) for _, child in children):
        return [child for _, child in children]
    return [given]


def _is_part(variable: Any) -> bool:
    """Whether a variable is a part of a partitioned one."""
    adapter = adapter_of(variable)
    values = {} if adapter is None else adapter.values(variable)
    return any(isinstance(own, Value) and own.part_of is not None for own in values.values())


def _own_name(variable: Any) -> str:
    adapter = adapter_of(variable)
    return "" if adapter is None else adapter.full_name(variable)


def _attributes(variable: Any) -> list[str]:
    adapter = adapter_of(variable)
    return [] if adapter is None else list(adapter.values(variable))
