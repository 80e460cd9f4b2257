"""One restore in progress: which checkpoint node is which object, and what is still to come.

A restore matches graph against graph from the root (S19), in three steps, and anew for every
dependency that arrives later (S21):

    matching.py  pure: which objects (binding.py), which values (values.py), which slots
                 (slots.py), what is missing, what does not fit (mismatch.py); what it finds is a
                 Match (match.py)
    restore.py   check: shapes, dtypes and checksums, before anything is changed (S25);
                 commit: assign (assigning.py), note on the objects what they hold
    pending.py   the word that is left where something is missing

What is known between two of these is in context.py. Checkpoints without an object graph are
restored by names: name_based.py.

A restore holds no object alive: it refers to them by weak references to their notes, and
lives as long as a status or an object that waits for something refers to it (S26).
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
