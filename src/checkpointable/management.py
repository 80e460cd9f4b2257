"""The checkpoints of a directory: which there are, and which is the latest (S16, S32)."""

from __future__ import annotations

import os
import re

from checkpointable.bundle import BundleReader
from checkpointable.errors import CheckpointError, CheckpointNotFoundError
from checkpointable.logs import logger
from checkpointable.state_file import STATE_FILE_NAME, CheckpointState, read_state, write_state
from checkpointable.storage import LocalStorage, temporary_of

__all__ = ["checkpoint_prefix", "latest_checkpoint", "list_checkpoints", "update_checkpoint_state"]

_INDEX = ".index"
_NUMBER = re.compile(r"-(\d{1,18})$")


def latest_checkpoint(
    directory: str | os.PathLike[str], latest_filename: str | None = None
) -> str | None:
    """The path of the latest checkpoint in `directory`, to be given to `restore`.

    None only if there is none, so that a first start and every later one are one line:

        ckpt.restore(cp.latest_checkpoint("runs/a"))

    The state file says which is the latest. Where it is missing, unreadable or names what is
    not there or not whole, this warns and returns the newest whole checkpoint (by time, then
    by number); if there are checkpoints but none is whole, the newest, so that `restore` says
    what is wrong with it and training does not silently start over.

    Args:
      directory: where to look.
      latest_filename: the state file's name, if it is not "checkpoint".

    Raises:
      CheckpointPermissionError: the directory cannot be read.
    """
    directory = os.fspath(directory)
    name = latest_filename or STATE_FILE_NAME
    prefixes = list_checkpoints(directory)
    try:
        state = read_state(directory, name)
        problem = f"no state file {name!r}"
    except CheckpointError as error:
        state, problem = None, f"the state file cannot be used ({error})"
    if state is not None:
        latest = _present(state.model_checkpoint_path, directory)
        if latest is not None and _is_whole(latest):
            return latest
        problem = (
            f"the state file {name!r} names {state.model_checkpoint_path}, which is "
            f"{'damaged' if latest else 'not there'}"
        )
    if not prefixes:
        return None
    chosen = next(filter(_is_whole, prefixes), prefixes[0])
    logger.warning("%s: %s; using %s", directory, problem, chosen)
    return chosen


def list_checkpoints(directory: str | os.PathLike[str]) -> list[str]:
    """The prefixes of all checkpoints in `directory`, newest first, whole or not.

    Newest by the time of its index, then by its number.
    """
    directory = os.fspath(directory)
    storage = LocalStorage()
    try:
        names = storage.list(directory)
    except CheckpointNotFoundError:
        return []
    found = []
    for name in names:
        if not name.endswith(_INDEX) or name == _INDEX or temporary_of(name) is not None:
            continue
        path = os.path.join(directory, name)
        identity = storage.identity(path)
        if identity is not None:
            prefix = path[: -len(_INDEX)]
            number = _NUMBER.search(prefix)
            found.append((identity.modified_ns, int(number.group(1)) if number else -1, prefix))
    return [prefix for _, _, prefix in sorted(found, reverse=True)]


def _present(path: str, directory: str) -> str | None:
    """`path`, or its namesake in `directory` if that was moved with absolute paths in it."""
    storage = LocalStorage()
    for candidate in (path, os.path.join(directory, os.path.basename(path))):
        if storage.exists(candidate + _INDEX):
            return candidate
    return None


def _is_whole(prefix: str) -> bool:
    """Whether the index is sound and the data files are all there, in full length."""
    try:
        with BundleReader(prefix) as reader:
            reader.check(())
    except CheckpointError:
        return False
    return True


def checkpoint_prefix(path: str | os.PathLike[str]) -> str:
    """The prefix that a user's path means: a prefix, an `.index` file or a directory.

    A directory stands for its latest checkpoint; that of a SavedModel for its variables.

    Raises:
      CheckpointNotFoundError: a directory without checkpoints.
    """
    prefix = os.fspath(path)
    storage = LocalStorage()
    if storage.exists(prefix + _INDEX):
        return prefix
    if prefix.endswith(_INDEX) and storage.exists(prefix):
        return prefix[: -len(_INDEX)]
    if not os.path.isdir(prefix):
        return prefix  # the reader says what is not there
    for saved_model in ("saved_model.pb", "saved_model.pbtxt"):
        if storage.exists(os.path.join(prefix, saved_model)):
            return os.path.join(prefix, "variables", "variables")
    latest = latest_checkpoint(prefix)
    if latest is None:
        raise CheckpointNotFoundError("this directory holds no checkpoint", path=prefix)
    return latest


def update_checkpoint_state(directory: str, latest: str, *, durability: str = "fsync") -> None:
    """Makes `latest` the directory's latest checkpoint, and the only one listed (S16)."""
    state = CheckpointState(latest, [latest])
    write_state(directory, state, durability=durability)
