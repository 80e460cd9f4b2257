"""Repairs a directory: makes the state file name a whole checkpoint."""

from __future__ import annotations

import os
from typing import NamedTuple

from checkpointable.bundle.format import index_path
from checkpointable.common.types import Progress
from checkpointable.directory.deletion import delete_checkpoint
from checkpointable.directory.state_file import CheckpointState, state_or_error, write_state
from checkpointable.maintenance.inspection import Inspection, inspect_directory
from checkpointable.maintenance.strays import stray_files
from checkpointable.storage import default_storage

__all__ = ["Repair", "repair_directory"]

_NANOSECONDS = 1e9


class Repair(NamedTuple):
    """The result of `repair_directory`.

    Attributes:
      inspection: The state of the directory before the repair.
      latest: The checkpoint that the state file now names; None if no checkpoint is whole, and
        nothing was changed.
      rewritten: Whether the state file was written.
      deleted: The checkpoint prefixes and files that were deleted.
    """

    inspection: Inspection
    latest: str | None
    rewritten: bool
    deleted: list[str]


def repair_directory(
    directory: str, *, delete: bool = False, progress: Progress | None = None
) -> Repair:
    """Makes the state file of a directory name a whole checkpoint.

    The latest checkpoint stays the latest if it is whole, or may be whole because it could not
    be read. Otherwise the newest whole one becomes the latest. If none is whole, nothing is
    changed.

    Args:
      directory: The directory.
      delete: Also delete damaged checkpoints (if there is a whole one) and the remains of
        interrupted saves and deletions. Checkpoints that could not be read are not deleted.
      progress: As for `inspect_directory`.

    Raises:
      CheckpointIOError, CheckpointNotFoundError: The system refused.
    """
    inspection = inspect_directory(directory, progress)
    whole = inspection.whole
    if not whole:
        return Repair(inspection, None, False, [])
    latest = inspection.latest
    undamaged = {os.path.abspath(path) for path in inspection.undamaged}
    if latest is None or os.path.abspath(latest) not in undamaged:
        latest = whole[0]
    if inspection.problem is not None:
        write_state(directory, _repaired_state(directory, latest, whole))
    deleted = _delete(inspection) if delete else []
    return Repair(inspection, latest, inspection.problem is not None, deleted)


def _repaired_state(directory: str, latest: str, whole: list[str]) -> CheckpointState:
    """Returns the state with its whole checkpoints; with all whole ones if it is unreadable."""
    storage = default_storage()
    old, _ = state_or_error(directory)
    times: dict[str, float] = {}
    if old is not None:
        paths = old.all_model_checkpoint_paths
        times = dict(zip(paths, old.all_model_checkpoint_timestamps, strict=False))
        listed = {os.path.abspath(path) for path in paths}
        whole = [path for path in whole if os.path.abspath(path) in listed]
    kept = [path for path in reversed(whole) if path != latest] + [latest]
    for path in kept:
        identity = storage.identity(index_path(path))
        if path not in times and identity is not None:
            times[path] = identity.modified_ns / _NANOSECONDS
    stamps = [times[path] for path in kept if path in times]
    preserved = None if old is None else old.last_preserved_timestamp
    return CheckpointState(latest, kept, stamps if len(stamps) == len(kept) else [], preserved)


def _delete(inspection: Inspection) -> list[str]:
    """Deletes damaged checkpoints and strays; returns what was deleted."""
    storage = default_storage()
    directory = inspection.directory
    # `index` keeps a checkpoint that a save has written since the damaged one was read.
    deleted = [
        checkpoint.prefix
        for checkpoint in inspection.checkpoints
        if checkpoint.damages
        and delete_checkpoint(checkpoint.prefix, index=checkpoint.index_identity)
    ]
    # The lock keeps the data of a save that is in progress, and has no index yet.
    with storage.lock_directory(directory):
        remaining = set(stray_files(directory, storage.list(directory)))
        deleted += [
            path
            for path in inspection.strays
            if path in remaining and storage.delete_if_unused(path)
        ]
    return deleted
