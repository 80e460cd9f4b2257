"""Groups values by their executors: those that cannot be assigned yet (S34-S36)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.common.logs import logger
from checkpointable.graph.executor import Executor
from checkpointable.graph.paths import join
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import ValueSpec, stored_values
from checkpointable.graph.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from checkpointable.graph.restore_notes import RestoreNotes

__all__ = ["by_executor", "initialize", "schedule_values", "tell_without_contents"]


def by_executor(
    values: Iterable[tuple[str, ValueSpec]],
) -> Iterable[tuple[Executor, list[tuple[str, ValueSpec]]]]:
    """Returns (key, value) pairs by executor; leaves out values without one."""
    groups: dict[int, tuple[Executor, list[tuple[str, ValueSpec]]]] = {}
    for key, value in values:
        executor = value.executor
        if executor is not None:
            groups.setdefault(id(executor), (executor, []))[1].append((key, value))
    return groups.values()


def schedule_values(values: Iterable[tuple[str, ValueSpec]]) -> list[tuple[str, ValueSpec]]:
    """Schedules values that cannot be assigned yet, and returns them (S34)."""
    scheduled = [(key, value) for key, value in values if value.executor is not None]
    for executor, group in by_executor(scheduled):
        executor.schedule([value for _, value in group])
    return scheduled


def initialize(
    root: Any,
    attached: Sequence[tuple[str, Any]],
    session: Any,
    is_set: Callable[[RestoreNotes, str], bool],
) -> None:
    """Initializes the values below `root` that exist only as a description so far (S35).

    Args:
      root: The root of the program's objects.
      attached: Further dependencies of the root, (local name, object) each.
      session: The session that runs a graph; None outside of graph mode.
      is_set: Takes the notes of an object and an attribute, and returns whether a restore has
        set that value or will set it.
    """
    program = walk(root, adapter_of, attached)
    values: list[tuple[str, ValueSpec]] = []
    for obj, adapter in zip(program.objects, program.adapters, strict=True):
        notes = adapter.notes(obj)
        declared = adapter.values(obj)
        bare = None if declared else adapter.initializable(obj)
        if bare is not None:
            values.append(("", bare))
        for attribute, made in declared.items():
            if not is_set(notes, attribute):
                value = made if isinstance(made, ValueSpec) else made(attribute)
                values += stored_values(attribute, value)
    for executor, group in by_executor(values):
        executor.initialize_in(program, [value for _, value in group], session)


def tell_without_contents(root: Any, attached: Sequence[tuple[str, Any]]) -> None:
    """Warns about values below `root` that have no contents and are in no checkpoint."""
    program = walk(root, adapter_of, attached)
    paths: list[str] = []
    for node_id, obj in enumerate(program.objects):
        value = program.adapters[node_id].initializable(obj)
        if value is not None and value.executor is not None:
            names = value.executor.without_contents(value)
            paths += [join(program.path(node_id), name) for name in names]
    if paths:
        more = f" and {len(paths) - _MOST} more" if len(paths) > _MOST else ""
        logger.warning(
            "%s%s: on the meta device, without contents, and in no checkpoint because not "
            "persistent; call initialize_or_restore() to have their modules compute them",
            ", ".join(paths[:_MOST]),
            more,
        )


_MOST = 10
