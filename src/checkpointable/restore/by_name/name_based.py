"""Restoring a checkpoint without an object graph by global names (S38, S39)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.bundle.reading.reader import Verify, checked_verify
from checkpointable.errors import at_path
from checkpointable.graph.by_executor import by_executor, schedule_values
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import ValueSpec
from checkpointable.graph.walk import walk
from checkpointable.restore.assigning import assign_values
from checkpointable.restore.by_name.part_reader import PartReader
from checkpointable.restore.context import next_uid
from checkpointable.restore.match import find_mismatch, mismatch_error
from checkpointable.restore.progress import RestoreProgress, ScheduledSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointable.graph.adapter import RestoreNotes
    from checkpointable.readers.reader import CheckpointReader

__all__ = [
    "NameBasedRestore",
    "NamedValue",
    "Names",
    "check_paths",
    "named_values",
    "values_of",
]

Names = Mapping[str, str] | Callable[[str], "str | None"]


class NamedValue(NamedTuple):
    """A value of the program and the name under which a checkpoint has it ("" for none)."""

    path: str
    attribute: str
    name: str
    notes: RestoreNotes
    value: ValueSpec


def named_values(
    root: Any, attached: Sequence[tuple[str, Any]], names: Names | None
) -> list[NamedValue]:
    """Every value below `root` with its name: from `names`, else the object's own.

    Raises:
      ValueError: `names` has a path that the program has not.
    """
    values = values_of(root, attached, names)
    check_paths(names, values)
    return values


def values_of(
    root: Any,
    attached: Sequence[tuple[str, Any]],
    names: Names | None,
    *,
    own_names: bool = True,
) -> list[NamedValue]:
    """As `named_values`, and `names` may have paths that the program has not.

    Args:
      own_names: what `names` does not name has its own name, if it has one.
    """
    found = walk(root, adapter_of, attached)
    values: list[NamedValue] = []
    for node_id, obj in enumerate(found.objects):
        adapter = found.adapters[node_id]
        try:
            own = adapter.values(obj)
        except Exception as error:
            at_path(error, found.path(node_id))
            raise
        if not own:
            continue
        path = found.path(node_id)
        # A global name names one value: of an object with several, none has one.
        own_name = found.full_name(node_id) if own_names else ""
        name = _name(path, own_name, names) if len(own) == 1 else ""
        notes = adapter.notes(obj)
        for attribute, made in own.items():
            value = made if isinstance(made, ValueSpec) else made(name)
            values.append(NamedValue(path, attribute, name, notes, value))
    return values


def check_paths(names: Names | None, values: list[NamedValue]) -> None:
    """Raises ValueError if `names` has a path that none of the values has."""
    if isinstance(names, Mapping):
        unknown = sorted(set(names) - {value.path for value in values})
        if unknown:
            raise ValueError(
                f"names: the program has no value at {', '.join(unknown[:10])}; paths are "
                "written as in status.report(), segments separated by '/'"
            )


def _name(path: str, own: str, names: Names | None) -> str:
    if names is None:
        return own
    given = names.get(path, own) if isinstance(names, Mapping) else names(path)
    return given or ""


FindValues = Callable[[Any, "Sequence[tuple[str, Any]]", "Names | None"], "list[NamedValue]"]
"""Finds the values of a program with their names, as `named_values` does."""


class NameBasedRestore:
    """A checkpoint that is to be restored by names, once somebody says so.

    Args:
      find: finds the values and their names.
      progress: called with (bytes done, bytes in all, key) when it is run.

    Attributes:
      reader: the open checkpoint.
      ran: whether it has been run.
      missing: paths that had nothing under their name when it was last run.
      matched: how many values it restored when it was last run.
      has_scheduled: whether any of them were scheduled until then.
    """

    def __init__(
        self,
        reader: CheckpointReader,
        names: Names | None,
        verify: Verify,
        find: FindValues | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self.reader = reader
        self.ran = False
        self.missing: dict[str, str] = {}
        self.matched = 0
        self.has_scheduled = False
        self._names = names
        self._find = find or named_values
        self._verify = checked_verify(verify)
        self._progress = progress
        self._uid = next_uid()

    def named_values(self, root: Any, attached: Sequence[tuple[str, Any]]) -> list[NamedValue]:
        """Returns the values below `root` with their names in the checkpoint.

        Raises:
          ValueError: `names` has a path that the program does not have.
        """
        return self._find(root, attached, self._names)

    def run(self, root: Any, attached: Sequence[tuple[str, Any]], session: Any) -> None:
        """Restores every value that has something under its name.

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: nothing was changed.
        """
        missing: dict[str, str] = {}
        chosen: list[NamedValue] = []
        for value in self.named_values(root, attached):
            if value.name and value.name in self.reader:
                # A later restore has set it: of two the last wins (S24).
                if value.notes.last_uid(value.attribute) <= self._uid:
                    chosen.append(value)
            else:
                missing[value.path] = value.name
        reader = PartReader(self.reader)
        values = [(reader.key(value.name, value.value), value.value) for value in chosen]
        keys = [key for key, _ in values]
        told = None
        if self._progress is not None:
            checked = keys if self._verify is True and self.reader.has_checksums else []
            assigned = [key for key, value in values if value.executor is None]
            told = RestoreProgress(self._progress, reader, checked, assigned)
        self._check(reader, chosen, keys, told)
        assign_values(reader, values, self._verify, self._uid, told)
        scheduled = schedule_values(values)
        self.has_scheduled = bool(scheduled)
        if scheduled:
            keys = [key for key, _ in scheduled]
            source = ScheduledSource(reader, keys, self._verify, self._progress)
            for executor, own in by_executor(scheduled):
                executor.run(own, source, session)
        for value in chosen:
            value.notes.sources[value.attribute] = (self._uid, 0)
        self.missing, self.matched, self.ran = missing, len(chosen), True

    def is_set(self, notes: RestoreNotes, attribute: str) -> bool:
        """Whether this or a later restore has set a value, or is going to (S35)."""
        return notes.last_uid(attribute) >= self._uid

    def _check(
        self,
        reader: PartReader,
        chosen: list[NamedValue],
        keys: list[str],
        progress: RestoreProgress | None,
    ) -> None:
        problems = [
            problem
            for (path, _, _, _, value), key in zip(chosen, keys, strict=True)
            if (problem := find_mismatch(reader, path, key, value.dtype, value.shape))
        ]
        if problems:
            raise mismatch_error(reader.prefix, problems)
        if self._verify is True:
            tells = self.reader.has_checksums
            for step in progress.steps(keys, str) if progress and tells else [keys]:
                reader.check(step)
