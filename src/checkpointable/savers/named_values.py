"""The variables of a Saver and their values, by global name (S40)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.bundle import ValueToWrite
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import Part, ValueSpec, stored_values

if TYPE_CHECKING:
    from checkpointable.graph.restore_notes import RestoreNotes

__all__ = ["NamedValue", "merge_parts", "named_values", "variables_by_name", "with_names"]


class NamedValue(NamedTuple):
    """A value and the name under which it is stored.

    Attributes:
      notes: the restore notes of the variable.
    """

    name: str
    attribute: str
    value: ValueSpec
    notes: RestoreNotes


def named_values(variables: Mapping[str, list[Any]]) -> list[NamedValue]:
    """Returns every value with its name, sorted by name.

    Args:
      variables: name -> the variable, or the parts of a partitioned one.
    """
    named = []
    for name, parts in sorted(variables.items()):
        for variable in parts:
            adapter = adapter_of(variable)
            assert adapter is not None  # variables_by_name has checked
            ((attribute, made),) = adapter.values(variable).items()
            value = made if isinstance(made, ValueSpec) else made(name)
            notes = adapter.notes(variable)
            named += [
                NamedValue(key, attribute, stored, notes)
                for key, stored in stored_values(name, value)
            ]
    return named


def merge_parts(named: list[NamedValue], values: list[ValueToWrite]) -> list[ValueToWrite]:
    """Returns the values to write under their names, the parts of a partitioned value as one.

    Args:
      named: the values with their names.
      values: the corresponding values to write, in the same order.
    """
    merged: list[ValueToWrite] = []
    parts: dict[str, list[tuple[Part, ValueToWrite]]] = {}
    for item, value in zip(named, values, strict=True):
        part = item.value.part_of
        if part is None:
            merged.append(value._replace(key=item.name))
        else:
            parts.setdefault(item.name, []).append((part, value._replace(key=item.name)))
    for name, pieces in parts.items():
        first, value = pieces[0]
        extents = tuple((part.extents, piece) for part, piece in pieces)
        merged.append(ValueToWrite(name, value.dtype, first.shape, value.read, extents))
    return merged


def with_names(var_list: Iterable[Any] | Mapping[str, Any]) -> list[tuple[str | None, Any]]:
    """Returns (name, variable) of each item of `var_list`; the name is None in a list."""
    if isinstance(var_list, Mapping):
        return [(name, part) for name, given in var_list.items() for part in _parts_of(given)]
    return [(None, part) for given in var_list for part in _parts_of(given)]


def variables_by_name(named: Iterable[tuple[str | None, Any]]) -> dict[str, list[Any]]:
    """Returns name -> the variable, or the parts of a partitioned one.

    Args:
      named: (name, variable) each; None stands for the variable's global name.

    Raises:
      ValueError: there are no variables, one has no name, or two have the same name.
      TypeError: an item is not an object with exactly one value.
    """
    variables: dict[str, list[Any]] = {}
    for given, variable in named:
        name = _global_name(variable) if given is None else given
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
            raise ValueError(f"Saver: the name {name!r} is reserved for object graphs")
        variables.setdefault(name, []).append(variable)
    if not variables:
        raise ValueError("Saver: var_list has no variables")
    return variables


def _parts_of(given: Any) -> list[Any]:
    """Returns the variable, or the parts of a partitioned one."""
    if isinstance(given, (list, tuple)):
        return [part for each in given for part in _parts_of(each)]
    adapter = adapter_of(given)
    children = [] if adapter is None or _attributes(given) else list(adapter.children(given))
    if children and all(_is_part(child) for _, child in children):
        return [child for _, child in children]
    return [given]


def _is_part(variable: Any) -> bool:
    """Returns whether a variable is a part of a partitioned one."""
    adapter = adapter_of(variable)
    values = {} if adapter is None else adapter.values(variable)
    return any(isinstance(made, ValueSpec) and made.part_of is not None for made in values.values())


def _global_name(variable: Any) -> str:
    adapter = adapter_of(variable)
    return "" if adapter is None else adapter.full_name(variable)


def _attributes(variable: Any) -> list[str]:
    adapter = adapter_of(variable)
    return [] if adapter is None else list(adapter.values(variable))
