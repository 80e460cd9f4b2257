"""Values that cannot be assigned yet, by the executors that act for them (S34-S36)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.adapters.registry import adapter_of
from checkpointable.graph.executor import Executor
from checkpointable.graph.value import Value, stored_values
from checkpointable.graph.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from checkpointable.graph.adapter import ObjectRecord

__all__ = ["by_executor", "initialize"]


def by_executor(
    values: Iterable[tuple[str, Value]],
) -> Iterable[tuple[Executor, list[tuple[str, Value]]]]:
    """(key, value) pairs by the executor of the value; those without one are left out."""
    groups: dict[int, tuple[Executor, list[tuple[str, Value]]]] = {}
    for key, value in values:
        executor = value.executor
        if executor is not None:
            groups.setdefault(id(executor), (executor, []))[1].append((key, value))
    return groups.values()


def initialize(
    root: Any,
    attached: Sequence[tuple[str, Any]],
    session: Any,
    is_set: Callable[[ObjectRecord, str], bool],
) -> None:
    """Initializes the values below `root` that exist only as a description so far (S35).

    Args:
      is_set: whether a value, by its object's record and its attribute, is restored, or going
        to be by another restore.
    """
    found = walk(root, adapter_of, attached)
    values: list[tuple[str, Value]] = []
    for obj, adapter in zip(found.objects, found.adapters, strict=True):
        record = adapter.record(obj)
        own = adapter.values(obj)
        bare = None if own else adapter.initializable(obj)
        if bare is not None:
            values.append(("", bare))
        for attribute, made in own.items():
            if not is_set(record, attribute):
                value = made if isinstance(made, Value) else made(attribute)
                values += stored_values(attribute, value)
    for executor, group in by_executor(values):
        executor.initialize_in(found, [value for _, value in group], session)
