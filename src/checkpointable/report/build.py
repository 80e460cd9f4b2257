"""Builds the report of a restore from its snapshot and the program's objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpointable.graph.renames import rename_graph
from checkpointable.graph.shown_paths import ShownPaths
from checkpointable.graph.value import ValueSpec
from checkpointable.report.counterparts import (
    Candidates,
    Guess,
    find_counterparts,
    unmatched,
)
from checkpointable.report.report import Outcome, Report, ReportEntry, ValueInfo
from checkpointable.report.shifts import note_shifts
from checkpointable.report.snapshot import TAKEN, is_taken
from checkpointable.report.suggested_renames import suggest_renames
from checkpointable.restore.match import dtype_name, stored_dtype

if TYPE_CHECKING:
    from collections.abc import Collection

    from checkpointable.graph.restore_notes import RestoreNotes
    from checkpointable.graph.walk import ObjectWalk
    from checkpointable.report.snapshot import Snapshot
    from checkpointable.restore import Restore

__all__ = ["build_report", "report_without_checkpoint"]

_STAYS = "added after the restore; it stays as it was, the value waits for another object"
_HELD_BACK = (
    "not restored when its object was added: it, or one below it, does not fit or is damaged"
)


def build_report(restore: Restore, program: ObjectWalk, snapshot: Snapshot) -> Report:
    """Returns the report of `restore` for the objects in `program`."""
    return _Builder(restore, program, snapshot).build()


def report_without_checkpoint(program: ObjectWalk) -> Report:
    """Returns the report of `restore(None)`: every value of `program` is missing."""
    report = Report("(no checkpoint)")
    for node_id, obj in enumerate(program.objects):
        try:
            values = program.adapters[node_id].values(obj)
        except NotImplementedError:  # NotCheckpointable: an error only when saving
            continue
        for attribute, made in values.items():
            info = _info(made) if isinstance(made, ValueSpec) else None
            entry = ReportEntry(program.path(node_id), attribute, Outcome.MISSING, program=info)
            report.entries.append(entry)
    return report


class _Builder:
    def __init__(self, restore: Restore, program: ObjectWalk, snapshot: Snapshot) -> None:
        self.restore = restore
        self.program = program
        self.snapshot = snapshot
        self.report = Report(restore.reader.prefix)
        self._paths = ShownPaths(restore.graph)
        self._keys: dict[int, dict[str, str]] = {}
        # (id of notes, attribute) -> the node of its value; of two nodes that are one object, the
        # node whose value the object has
        self._node_of: dict[tuple[int, str], int] = {}
        refused = {conflict.node_id for conflict in snapshot.conflicts}
        for node_id, notes in snapshot.bound.items():
            for attribute in restore.graph.nodes[node_id].attributes:
                value_id = (id(notes), attribute.name)
                if node_id not in refused or (node_id, attribute.name) in snapshot.consumed:
                    self._node_of.setdefault(value_id, node_id)
        self._shown: set[tuple[int, str]] = set()
        self._claims = {conflict.claimed_by: conflict.what for conflict in snapshot.conflicts}

    def build(self) -> Report:
        self._add_program()
        self._add_checkpoint()
        self._add_counterparts()
        note_shifts(self.report, self.restore, self.program, self.snapshot.bound)
        return self.report

    def _add_program(self) -> None:
        for node_id, obj in enumerate(self.program.objects):
            adapter = self.program.adapters[node_id]
            try:
                values = adapter.values(obj)
            except NotImplementedError:  # NotCheckpointable: an error only when saving
                continue
            if not values:
                continue
            path = self.program.path(node_id)
            notes = adapter.notes(obj)
            for attribute, made in values.items():
                if isinstance(made, ValueSpec) and made.absent:
                    continue
                info = _info(made) if isinstance(made, ValueSpec) else None
                self._add_program_value(path, attribute, notes, info)

    def _add_program_value(
        self, path: str, attribute: str, notes: RestoreNotes, info: ValueInfo | None
    ) -> None:
        value_id = (id(notes), attribute)
        node_id = self._node_of.get(value_id)
        entry = ReportEntry(path, attribute, Outcome.MISSING, program=info)
        if node_id is not None:
            self._shown.add((node_id, attribute))
            self._add_stored(entry, node_id)
        if node_id is not None and (node_id, attribute) in self.snapshot.mismatches:
            entry.outcome = Outcome.MISMATCH
        elif value_id in self.snapshot.restored:
            entry.outcome = Outcome.RESTORED
        elif path in self._claims:
            entry.outcome = Outcome.AMBIGUOUS
        elif node_id in self.snapshot.refused:
            entry.outcome = Outcome.DEFERRED
        entry.note = self._claims.get(path, "")
        if node_id in self.snapshot.refused and not entry.note:
            entry.note = _STAYS if entry.outcome is Outcome.MISMATCH else _HELD_BACK
        if entry.outcome is Outcome.MISSING and is_taken(self.restore, path, attribute):
            entry.outcome, entry.note = Outcome.AMBIGUOUS, TAKEN
        self.report.entries.append(entry)

    def _add_stored(self, entry: ReportEntry, node_id: int) -> None:
        if node_id not in self._keys:  # one node at a time, which may have many values
            attributes = self.restore.graph.nodes[node_id].attributes
            self._keys = {node_id: {value.name: value.checkpoint_key for value in attributes}}
        key = self._keys[node_id].get(entry.attribute)
        if key is None:
            return
        entry.key = key
        reader = self.restore.reader
        if key in reader:  # a value that is stored as several has no entry under its key
            dtype = dtype_name(stored_dtype(reader, key))
            entry.checkpoint = ValueInfo(dtype, reader.shape(key))

    def _add_checkpoint(self) -> None:
        """Adds the values of the checkpoint that no object of the program shows."""
        waited_for = _below(self.restore, self.snapshot.waiting)
        conflicting = {conflict.node_id: conflict for conflict in self.snapshot.conflicts}
        for value_id in self.restore.values:
            if value_id in self._shown:
                continue
            node_id, attribute = value_id
            entry = ReportEntry(self._paths[node_id], attribute, Outcome.UNUSED)
            self._add_stored(entry, node_id)
            if value_id in self.snapshot.consumed:  # a second path, or its object is gone
                entry.outcome = Outcome.RESTORED
            elif node_id in conflicting:
                entry.outcome = Outcome.AMBIGUOUS
                entry.note = conflicting[node_id].what
            elif node_id in waited_for:
                entry.outcome = Outcome.DEFERRED
                entry.note = "its object does not exist yet"
            self.report.entries.append(entry)

    def _add_counterparts(self) -> None:
        open_outcomes = (Outcome.MISSING, Outcome.UNUSED, Outcome.DEFERRED, Outcome.MISMATCH)
        open_entries = [
            entry
            for entry in self.report.entries
            if entry.outcome in open_outcomes and entry.note != _HELD_BACK
        ]
        counterparts = find_counterparts(
            [unmatched(e.path, e.attribute, e.program) for e in open_entries if e.program],
            [unmatched(e.path, e.attribute, e.checkpoint) for e in open_entries if e.checkpoint],
        )
        for entry in open_entries:
            guess = self._guess(entry, counterparts)
            if guess is None:
                continue
            entry.candidates = guess.paths
            entry.candidate = guess.paths[0] if guess.sure else None
            if not guess.sure:
                entry.note = "ambiguous: several of the same dtype and shape are as likely"
            if entry.outcome is Outcome.DEFERRED:
                # An object without a value exists, so the value hardly waits for another.
                entry.outcome, entry.note = Outcome.UNUSED, entry.note if not guess.sure else ""
        pairs = counterparts.moved()
        settled = [e.path for e in self.report.entries if e.outcome is Outcome.RESTORED]
        taken = map(self._paths.__getitem__, range(len(self.restore.graph.nodes)))
        renames = suggest_renames(pairs, settled, taken if pairs else ())
        try:
            rename_graph(self.restore.graph, renames)
        except ValueError:  # an object may have several paths
            return
        self.report.renames = renames

    @staticmethod
    def _guess(entry: ReportEntry, counterparts: Candidates) -> Guess | None:
        if entry.outcome is Outcome.MISMATCH:
            # Both sides lack a match. Users look first for the value that the program's needs.
            return counterparts.of_program.get(entry.path) or counterparts.of_checkpoint.get(
                entry.path
            )
        if entry.outcome is Outcome.MISSING:
            return counterparts.of_program.get(entry.path)
        return counterparts.of_checkpoint.get(entry.path)


def _info(value: ValueSpec) -> ValueInfo | None:
    if value.parts is not None:
        return None
    return ValueInfo(dtype_name(value.dtype), value.shape)


def _below(restore: Restore, nodes: Collection[int]) -> set[int]:
    """Returns the nodes and all nodes below them, slots included."""
    seen = set(nodes)
    stack = list(nodes)
    while stack:
        node = restore.graph.nodes[stack.pop()]
        reached = [child.node_id for child in node.children]
        reached += [slot.slot_variable_node_id for slot in node.slot_variables]
        for node_id in reached:
            if node_id not in seen:
                seen.add(node_id)
                stack.append(node_id)
    for node_id in list(seen):
        for _, slot in restore.slots_of_variable.get(node_id, ()):
            seen.add(slot.slot_variable_node_id)
    return seen
