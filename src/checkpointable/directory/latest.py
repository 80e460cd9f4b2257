"""Finds the checkpoints of a directory, and the latest of them (S16, S32)."""

from __future__ import annotations

import os
import re

from checkpointable.bundle.format import index_path, prefix_of_index
from checkpointable.bundle.opening import checkpoint_exists, open_checkpoint
from checkpointable.bundle.v1.files import v1_prefixes_in
from checkpointable.common.logs import logger
from checkpointable.directory.state_file import (
    STATE_FILE_NAME,
    state_or_error,
)
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointNotFoundError,
)
from checkpointable.storage import Storage, default_storage, given_path, takes_storage, temporary_of

__all__ = [
    "LOOKS",
    "find_latest",
    "is_whole",
    "latest_checkpoint",
    "list_checkpoints",
    "named_latest",
]

# Attempts to find the latest checkpoint while a writer saves and deletes checkpoints.
LOOKS = 20

_NUMBER = re.compile(r"-(\d{1,18})$")


@takes_storage
def latest_checkpoint(
    directory: str | os.PathLike[str],
    latest_filename: str | None = None,
    *,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> str | None:
    """Returns the path of the latest checkpoint in `directory`, or None if there is none.

    A first start and a resumed run are the same line:

        ckpt.restore(cp.latest_checkpoint("runs/a"))

    The state file names the latest checkpoint. If the state file is missing or unreadable, or
    if the checkpoint that it names is missing or damaged, this function logs a warning and
    returns the newest whole checkpoint: the one with the highest number, because copying a
    directory changes the times. (Checkpoints of different names are compared by time.) If no
    checkpoint is whole, it returns the newest one, so that `restore` raises an error and training
    does not silently start over.

    Args:
      directory: the directory to search.
      latest_filename: name of the state file. None: "checkpoint".
      storage: the storage of the files. None: the default storage, which `use_storage` sets.

    Returns:
      A checkpoint prefix to pass to `restore`, or None.

    Raises:
      CheckpointPermissionError: the directory cannot be read.
    """
    directory = given_path(directory)
    chosen, problem = find_latest(directory, latest_filename)
    if problem is not None:
        using = (
            "the directory has no checkpoint, as before a first start"
            if chosen is None
            else f"using {chosen}"
        )
        logger.warning("%s: %s; %s", directory, problem, using)
    return chosen


def find_latest(
    directory: str, latest_filename: str | None = None
) -> tuple[str | None, str | None]:
    """Returns the latest checkpoint, and why it is not the one that the state file names.

    A named checkpoint that cannot be read (no permission, too many open files) is still
    returned, with the error as the reason: it may be whole.

    Args and errors are those of `latest_checkpoint`.
    """
    name = latest_filename or STATE_FILE_NAME
    state, unusable = state_or_error(directory, name)
    problem = None if unusable is None else f"the state file cannot be used ({unusable})"
    for _ in range(LOOKS):
        if state is None:
            break
        latest = _present(state.model_checkpoint_path, directory)
        error = None if latest is None else _problem(latest)
        if latest is not None and error is None:
            return latest, None
        named = f"the state file {name!r} names {state.model_checkpoint_path}, which"
        if error is not None and not _is_damage(error):
            return latest, f"{named} cannot be read ({error})"
        problem = f"{named} is {'damaged' if latest else 'missing'}"
        before, (state, _) = state, state_or_error(directory, name)
        if state is None or state.model_checkpoint_path == before.model_checkpoint_path:
            break  # otherwise a writer has saved a newer one and deleted this one
    prefixes = list_checkpoints(directory)
    if prefixes:
        sound = (prefix for prefix in prefixes if not _is_damage(_problem(prefix)))
        chosen = next(sound, prefixes[0])
        problem = problem or f"no state file {name!r}"
        return chosen, problem + _later_by_time(chosen, prefixes)
    # V1 checkpoints come last: no current program writes them.
    old = next(filter(is_whole, v1_prefixes_in(directory, default_storage())), None)
    if old is not None:
        problem = problem or f"no state file {name!r}"
    return old, problem


def named_latest(directory: str) -> str | None:
    """Returns the checkpoint that the state file names, whole or not; None if it is missing."""
    state, _ = state_or_error(directory)
    return None if state is None else _present(state.model_checkpoint_path, directory)


def list_checkpoints(directory: str | os.PathLike[str]) -> list[str]:
    """Returns the prefixes of all checkpoints in `directory`, newest first, whole or not.

    Checkpoints of one name are ordered by number. Those of different names, and those without a
    number, are ordered by the modification time of the index; each counts as at least as new as
    those of its name with lower numbers.
    """
    directory = given_path(directory)
    storage = default_storage()
    try:
        names = storage.list(directory)
    except CheckpointNotFoundError:
        return []
    dated: dict[str, list[tuple[int, int, str]]] = {}  # of each name: (number, time, prefix)
    for name in names:
        path = os.path.join(directory, name)
        prefix = prefix_of_index(path)
        if prefix is None or temporary_of(name) is not None:
            continue
        identity = storage.identity(path)
        if identity is not None:
            base, number = _numbered(prefix)
            dated.setdefault(base, []).append((number, identity.modified_ns, prefix))
    ordered = []
    for checkpoints in dated.values():
        newest = 0
        for number, time, prefix in sorted(checkpoints):
            newest = max(newest, time)
            ordered.append((newest, number, prefix))
    return [prefix for _, _, prefix in sorted(ordered, reverse=True)]


def _numbered(prefix: str) -> tuple[str, int]:
    """Returns the name of a checkpoint and its number; -1 if it has none."""
    number = _NUMBER.search(prefix)
    return (prefix[: number.start()], int(number[1])) if number else (prefix, -1)


def _later_by_time(chosen: str, prefixes: list[str]) -> str:
    """Returns a remark on checkpoints with a lower number that are newer than `chosen` by time."""
    storage = default_storage()

    def time(prefix: str) -> int:
        identity = storage.identity(index_path(prefix))
        return 0 if identity is None else identity.modified_ns

    base, number = _numbered(chosen)
    lower = [prefix for prefix in prefixes if _numbered(prefix) < (base, number)]
    later = max(
        (prefix for prefix in lower if _numbered(prefix)[0] == base), key=time, default=chosen
    )
    if time(later) <= time(chosen):
        return ""
    return (
        f"; {os.path.basename(later)} was written later by the times of the files, but has a lower "
        "number: if it is the one to continue from, pass its path"
    )


def _present(path: str, directory: str) -> str | None:
    """Returns `path`, or the checkpoint of that name in `directory` (which may have been moved)."""
    storage = default_storage()
    for candidate in (path, os.path.join(directory, os.path.basename(path))):
        if checkpoint_exists(candidate, storage):
            return candidate
    return None


def is_whole(prefix: str) -> bool:
    """Returns whether the index is intact and every data file exists in full length.

    This detects the effects of a crash. `verify` detects damaged bytes.
    """
    return _problem(prefix) is None


def _problem(prefix: str) -> CheckpointError | None:
    try:
        with open_checkpoint(prefix) as reader:
            reader.check(())
    except CheckpointError as error:
        return error
    return None


def _is_damage(error: CheckpointError | None) -> bool:
    """Returns whether the error means that the checkpoint is not whole, rather than unreadable."""
    return isinstance(error, CheckpointCorruptError | CheckpointNotFoundError)
