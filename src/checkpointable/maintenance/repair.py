"""A directory of checkpoints looked through, and put in order."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from checkpointable.bundle import Damage
from checkpointable.bundle.format import index_path, parse_data_name, prefix_of_index
from checkpointable.bundle.opening import open_checkpoint
from checkpointable.directory.deletion import delete_checkpoint
from checkpointable.directory.latest import list_checkpoints
from checkpointable.directory.state_file import CheckpointState, state_or_error, write_state
from checkpointable.errors import CheckpointCorruptError, CheckpointError
from checkpointable.maintenance.judged_manifests import Judged, look_at_manifest, stray_manifests
from checkpointable.storage import FileIdentity, default_storage, temporary_of

__all__ = ["Inspected", "Inspection", "Repair", "inspect_directory", "repair_directory"]

_NANOSECONDS = 1e9
# How often a directory is looked through anew, beside a writer that saves and deletes meanwhile.
_LOOKS = 10


class Inspected(NamedTuple):
    """A checkpoint, every byte of it read.

    Attributes:
      prefix: its path.
      values, size: how many values it has, and their bytes.
      damages: what is not as it was written.
      refused: why it could not be read, which says nothing of its bytes; None if it could.
      seen: tells the index that was read from another that a save puts in its place.
      manifest: what its manifest says of its bytes; None if it has none. Whether it is whole
        does not depend on that: the manifest may be what is damaged.
    """

    prefix: str
    values: int
    size: int
    damages: list[Damage]
    refused: str | None
    seen: FileIdentity | None = None
    manifest: Judged | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every checksum holds."""
        return not self.damages and self.refused is None


class Inspection(NamedTuple):
    """What lies in a directory.

    Attributes:
      directory: which.
      checkpoints: newest first.
      latest: what the state file names; None where it is missing or cannot be read.
      problem: what is wrong with the state file; None if nothing is.
      strays: files that a save or a deletion has left: they belong to no checkpoint.
    """

    directory: str
    checkpoints: list[Inspected]
    latest: str | None
    problem: str | None
    strays: list[str]

    @property
    def whole(self) -> list[str]:
        """The paths of those that are whole, newest first."""
        return [found.prefix for found in self.checkpoints if found.is_whole]

    @property
    def standing(self) -> list[str]:
        """The paths of those that are whole, or may be, since they could not be read."""
        return [found.prefix for found in self.checkpoints if not found.damages]


class Repair(NamedTuple):
    """What `repair_directory` did.

    Attributes:
      found: what lay there before.
      latest: what the state file names now; None if nothing is whole, and it was left alone.
      rewritten: whether the state file was written.
      deleted: the prefixes and files that are gone.
    """

    found: Inspection
    latest: str | None
    rewritten: bool
    deleted: list[str]


def inspect_directory(
    directory: str, progress: Callable[[int, int, str], None] | None = None
) -> Inspection:
    """Reads every byte of every checkpoint in a directory.

    Args:
      progress: called with (bytes done, bytes in all, key), of each checkpoint anew.

    Raises:
      CheckpointIOError, CheckpointNotFoundError: the directory cannot be read.
    """
    storage = default_storage()
    seen: dict[str, Inspected] = {}
    state, error = state_or_error(directory)
    for _ in range(_LOOKS):
        names = storage.list(directory)
        prefixes = list_checkpoints(directory)
        for prefix in prefixes:
            if prefix not in seen or seen[prefix].seen != storage.identity(index_path(prefix)):
                seen[prefix] = _inspected(prefix, progress)
        # What a manager has deleted meanwhile is nothing to complain of …
        there = [seen[p] for p in prefixes if seen[p].is_whole or storage.exists(index_path(p))]
        whole = {os.path.abspath(c.prefix) for c in there if c.is_whole}
        listed = [] if state is None else state.all_model_checkpoint_paths
        absent = [path for path in listed if os.path.abspath(path) not in whole]
        before, (state, error) = state, state_or_error(directory)
        if not absent or state == before:
            break  # … nor that the state file names what it has saved since: look again
    problem = None if error is None else error.what
    if absent:
        named = ", ".join(map(os.path.basename, absent[:10]))
        problem = f"it names what is not there or not whole: {named}"
    elif state is None and problem is None and there:
        problem = "there is none"
    latest = None if state is None else state.model_checkpoint_path
    return Inspection(directory, there, latest, problem, _strays(directory, names))


def repair_directory(
    directory: str,
    *,
    delete: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> Repair:
    """Makes the state file name what is whole; changes nothing else, unless asked to.

    The latest stays what it is if it is whole, or could not be read and may be; else it is the
    newest that is whole. Where nothing is whole, everything stays.

    Args:
      delete: also delete damaged checkpoints (if there is a whole one) and what saves and
        deletions have left. A checkpoint that cannot be read for another reason stays.
      progress: as in `inspect_directory`.

    Raises:
      CheckpointIOError, CheckpointNotFoundError: the system refused.
    """
    found = inspect_directory(directory, progress)
    whole = found.whole
    if not whole:
        return Repair(found, None, False, [])
    latest = found.latest
    if latest is None or os.path.abspath(latest) not in set(map(os.path.abspath, found.standing)):
        latest = whole[0]
    if found.problem is not None:
        write_state(directory, _repaired(directory, latest, whole))
    deleted = _delete(found) if delete else []
    return Repair(found, latest, found.problem is not None, deleted)


def _inspected(prefix: str, progress: Callable[[int, int, str], None] | None) -> Inspected:
    index = default_storage().identity(index_path(prefix))
    values = size = 0
    try:
        with open_checkpoint(prefix, damaged=True) as reader:
            values = len(reader)
            size = sum(reader.stored(key).nbytes for key in reader.keys())
            damages = reader.verify(progress)
            if not damages:
                reader.graph()
    except CheckpointCorruptError as error:
        damage = Damage(error.path or prefix, error.key, error.offset or 0, error.what)
        return Inspected(prefix, values, size, [damage], None, index)
    except CheckpointError as error:
        return Inspected(prefix, values, size, [], str(error), index)
    try:
        manifest = look_at_manifest(prefix, progress)
    except CheckpointError as error:
        manifest = Judged(None, [], error)
    return Inspected(prefix, values, size, damages, None, index, manifest)


def _strays(directory: str, names: list[str]) -> list[str]:
    bases = {prefix for name in names if (prefix := prefix_of_index(name)) is not None}
    manifests = set(stray_manifests(directory, names))
    strays = [name for name in names if name in manifests or _is_stray(name, bases)]
    return [os.path.join(directory, name) for name in strays]


def _is_stray(name: str, bases: set[str]) -> bool:
    if temporary_of(name) is not None:
        return True
    base, _, _ = name.rpartition(".data-")
    return bool(base) and parse_data_name(name, base) is not None and base not in bases


def _repaired(directory: str, latest: str, whole: list[str]) -> CheckpointState:
    """The state with what is whole of what it listed; with all of it, where it is unreadable."""
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


def _delete(found: Inspection) -> list[str]:
    storage = default_storage()
    # Unless a save has put another one in its place since it was read.
    deleted = [
        checkpoint.prefix
        for checkpoint in found.checkpoints
        if checkpoint.damages and delete_checkpoint(checkpoint.prefix, index=checkpoint.seen)
    ]
    with storage.lock_directory(found.directory):  # a save that goes on has its data there
        left = set(_strays(found.directory, storage.list(found.directory)))
        deleted += [p for p in found.strays if p in left and storage.delete_if_unused(p)]
    return deleted
