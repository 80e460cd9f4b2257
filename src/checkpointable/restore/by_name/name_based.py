"""Restores checkpoints without an object graph by global names (S38, S39)."""

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
from checkpointable.restore.progress import RestoreProgress, ScheduledSource, steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointable.graph.restore_notes import RestoreNotes
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
    """A value of the program and its name in the checkpoint.

    Attributes:
      path: the path of its object.
      attribute: the name of the value within its object.
      name: its name in the checkpoint, "" if it has none.
      notes: the notes of its object.
      value: the value.
    """

    path: str
    attribute: str
    name: str
    notes: RestoreNotes
    value: ValueSpec


def named_values(
    root: Any, attached: Sequence[tuple[str, Any]], names: Names | None
) -> list[NamedValue]:
    """Returns the values below `root`, named by `names` or else by their global name.

    Raises:
      ValueError: `names` has a path that the program lacks.
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
    """Returns the same as `named_values`, but accepts paths in `names` that the program lacks.

    Args:
      root: the root of the program.
      attached: further dependencies of the root, which it does not track itself.
      names: maps paths to names.
      own_names: whether values that `names` does not name keep their global name.
    """
    program = walk(root, adapter_of, attached)
    values: list[NamedValue] = []
    for node_id, obj in enumerate(program.objects):
        adapter = program.adapters[node_id]
        try:
            object_values = adapter.values(obj)
        except Exception as error:
            at_path(error, program.path(node_id))
            raise
        if not object_values:
            continue
        path = program.path(node_id)
        # A global name is the name of one value: an object with several has none.
        own_name = program.full_name(node_id) if own_names else ""
        name = _name(path, own_name, names) if len(object_values) == 1 else ""
        notes = adapter.notes(obj)
        for attribute, value_or_factory in object_values.items():
            value = value_or_factory
            if not isinstance(value, ValueSpec):
                value = value(name)
            values.append(NamedValue(path, attribute, name, notes, value))
    return values


def check_paths(names: Names | None, values: list[NamedValue]) -> None:
    """Raises ValueError if `names` has a path that none of the values has."""
    if isinstance(names, Mapping):
        unknown = sorted(set(names) - {value.path for value in values})
        if unknown:
            raise ValueError(
                f"names=: the program has no value at {', '.join(unknown[:10])}; write paths as "
                "status.report() does, with '/' between segments"
            )


def _name(path: str, own_name: str, names: Names | None) -> str:
    if names is None:
        return own_name
    given = names.get(path, own_name) if isinstance(names, Mapping) else names(path)
    return given or ""


FindValues = Callable[[Any, "Sequence[tuple[str, Any]]", "Names | None"], "list[NamedValue]"]
"""Finds the values of a program and their names, as `named_values` does."""


class NameBasedRestore:
    """A restore by names, which reads nothing before it is run.

    Args:
      reader: the open checkpoint.
      names: maps paths to names; None uses the global names.
      verify: as in `CheckpointableSaver.restore`.
      find: finds the values of the program and their names.
      progress: called with (bytes done, bytes in total, key) during the run.

    Attributes:
      reader: the open checkpoint.
      ran: whether it was run.
      missing: path -> name of each value whose name the checkpoint lacked in the last run.
      matched: the number of values that the last run restored.
      has_scheduled: whether an executor restored any of them.
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
        """Restores every value whose name the checkpoint has.

        Args:
          root: the root of the program.
          attached: further dependencies of the root, which it does not track itself.
          session: the session of a TensorFlow graph; None uses the default session.

        Raises:
          CheckpointMismatchError, CheckpointCorruptError: Nothing was changed.
        """
        missing: dict[str, str] = {}
        chosen: list[NamedValue] = []
        for value in self.named_values(root, attached):
            if value.name and value.name in self.reader:
                # Values that a later restore has set stay as they are (S24).
                if value.notes.last_uid(value.attribute) <= self._uid:
                    chosen.append(value)
            else:
                missing[value.path] = value.name
        reader = PartReader(self.reader)
        values = [(reader.key(value.name, value.value), value.value) for value in chosen]
        keys = [key for key, _ in values]
        progress = None
        if self._progress is not None:
            checked = keys if self._verify is True and self.reader.has_checksums else []
            assigned = [key for key, value in values if value.executor is None]
            progress = RestoreProgress(self._progress, reader, checked, assigned)
        self._check(reader, chosen, keys, progress)
        assign_values(reader, values, self._verify, self._uid, progress)
        scheduled = schedule_values(values)
        self.has_scheduled = bool(scheduled)
        if scheduled:
            keys = [key for key, _ in scheduled]
            source = ScheduledSource(reader, keys, self._verify, self._progress)
            for executor, group in by_executor(scheduled):
                executor.run(group, source, session)
        for value in chosen:
            value.notes.sources[value.attribute] = (self._uid, 0)
        self.missing, self.matched, self.ran = missing, len(chosen), True

    def is_set(self, notes: RestoreNotes, attribute: str) -> bool:
        """Returns whether this or a later restore has set or scheduled a value (S35)."""
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
            # Without checksums nothing is read, so that it does not count as progress.
            for step in steps(progress if self.reader.has_checksums else None, keys, str):
                reader.check(step)
