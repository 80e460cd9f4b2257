"""One restore in progress: which checkpoint node is which object, and what is still to come.

A restore matches graph against graph from the root (S19), in three steps, and anew for every
dependency that arrives later (S21):

    match.py     pure: which objects, which values, what is missing, what does not fit
    restore.py   check: shapes, dtypes and checksums, before anything is changed (S25);
                 commit: assign, note on the objects what they hold
    pending.py   the word that is left where something is missing

Checkpoints without an object graph are restored by names: name_based.py.

A restore holds no object alive: it refers to them by weak references to their records, and
lives as long as a status or an object that waits for something refers to it (S26).
"""

from __future__ import annotations

from checkpointable.restore.match import Conflict as Conflict
from checkpointable.restore.match import Match as Match
from checkpointable.restore.match import Mismatch as Mismatch
from checkpointable.restore.name_based import NameBasedRestore as NameBasedRestore
from checkpointable.restore.name_based import Names as Names
from checkpointable.restore.restore import Restore as Restore
from checkpointable.restore.restore import Verify as Verify
from checkpointable.restore.restore import next_uid as next_uid

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
