"""Builds the report of a restore by global names (S38)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.report.report import Outcome, Report, ReportEntry, ValueInfo
from checkpointable.restore.by_name.part_reader import PartReader
from checkpointable.restore.match import dtype_name, find_mismatch, stored_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointable.restore import NameBasedRestore
    from checkpointable.restore.by_name.name_based import NamedValue

__all__ = ["build_report_by_name"]

_NOT_RUN = "restored by run_restore_ops() or initialize_or_restore()"


def build_report_by_name(
    restore: NameBasedRestore,
    root: Any,
    attached: Sequence[tuple[str, Any]],
    optional: tuple[str, ...] = (),
) -> Report:
    """Returns the report of `restore` for the objects below `root`.

    The path of a value that only the checkpoint has is its name there. If `names=` or `module=`
    does not fit the program, the report has a note, and no values of the program.

    Args:
      attached: dependencies of the root beside those that it tracks itself.
      optional: paths that are left out of the report if the checkpoint lacks them.
    """
    report = Report(restore.reader.prefix)
    try:
        values = restore.named_values(root, attached)
    except ValueError as error:  # names= or module= does not fit the program: a run says so, too
        report.notes.append(str(error))
        values = []
    parts = PartReader(restore.reader)
    used = set()
    for value in values:
        if value.name and value.name in restore.reader:
            used.add(value.name)
            report.entries.append(_matched(restore, parts, value))
        elif value.path not in optional:
            report.entries.append(_missing(value))
    for name in restore.reader.keys():
        if name not in used:
            stored = _stored(parts, name)
            entry = ReportEntry(name, VARIABLE_VALUE, Outcome.UNUSED, stored, key=name)
            report.entries.append(entry)
    return report


def _matched(restore: NameBasedRestore, parts: PartReader, named: NamedValue) -> ReportEntry:
    """Returns the entry of a value whose name the checkpoint has."""
    key = parts.key(named.name, named.value)
    entry = ReportEntry(
        named.path,
        named.attribute,
        Outcome.RESTORED,
        _stored(parts, key),
        _in_program(named),
        named.name,
    )
    if restore.is_set(named.notes, named.attribute):
        return entry
    misfit = find_mismatch(parts, named.path, key, named.value.dtype, named.value.shape)
    if misfit is not None:
        entry.outcome = Outcome.MISMATCH
    else:
        entry.outcome, entry.note = Outcome.DEFERRED, _NOT_RUN
    return entry


def _missing(named: NamedValue) -> ReportEntry:
    note = f"name {named.name!r}" if named.name else "has no name"
    return ReportEntry(
        named.path, named.attribute, Outcome.MISSING, program=_in_program(named), note=note
    )


def _in_program(named: NamedValue) -> ValueInfo:
    return ValueInfo(dtype_name(named.value.dtype), named.value.shape)


def _stored(parts: PartReader, key: str) -> ValueInfo | None:
    try:
        return ValueInfo(dtype_name(stored_dtype(parts, key)), parts.shape(key))
    except CheckpointUnsupportedError:  # of a dtype that no program has
        return None
