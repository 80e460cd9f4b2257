"""Restores a checkpoint into the program's objects.

A restore matches the checkpoint's graph with the program's from the root (S19). It takes three
steps, and takes them again for each dependency that is added later (S21):

    matching.py  match, without changing anything: objects (binding.py), values (values.py) and
                 slots (slots.py). The result is a Match (match.py).
    restore.py   check shapes, dtypes and checksums, before anything is changed (S25);
                 commit: assign the values (assigning.py) and leave notes on the objects
    pending.py   deferred restores: the notes about missing dependencies

context.py has the checkpoint and what was matched so far. refused.py finds objects that were
added later and do not fit. by_name/ restores checkpoints without an object graph.

A restore keeps no object alive: it has weak references to the notes of objects. It lives as long
as a status, or an object that waits for a dependency, refers to it (S26).
"""

from __future__ import annotations

from checkpointable.bundle.reading.reader import Verify as Verify
from checkpointable.restore.by_name.name_based import NameBasedRestore as NameBasedRestore
from checkpointable.restore.by_name.name_based import Names as Names
from checkpointable.restore.context import next_uid as next_uid
from checkpointable.restore.match import Conflict as Conflict
from checkpointable.restore.match import Match as Match
from checkpointable.restore.match import Mismatch as Mismatch
from checkpointable.restore.restore import Restore as Restore

__all__ = [
    "Conflict",
    "Match",
    "Mismatch",
    "NameBasedRestore",
    "Names",
    "Restore",
    "Verify",
    "next_uid",
]
