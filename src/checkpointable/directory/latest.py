"""The checkpoints of a directory: which there are, and which is the latest (S16, S32)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from checkpointable.bundle.opening import checkpoint_exists, open_checkpoint
from checkpointable.bundle.v1.files import v1_prefixes_in
from checkpointable.common.logs import logger
from checkpointable.common.types import Path
from checkpointable.directory.state_file import (
    STATE_FILE_NAME,
    CheckpointState,
    read_state,
    state_or_error,
    write_state,
)
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointNotFoundError,
)
from checkpointable.storage import Storage, default_storage, takes_storage, temporary_of

__all__ = [
    "checkpoint_prefix",
    "find_latest",
    "get_checkpoint_state",
    "is_whole",
    "latest_checkpoint",
    "list_checkpoints",
    "named_latest",
    "open_named",
    "update_checkpoint_state",
]

_Opened = TypeVar("_Opened")

# How often the latest is asked for anew, beside a writer that saves and deletes meanwhile.
_LOOKS = 20

_INDEX = ".index"
_NUMBER = re.compile(r"-(\d{1,18})$")


@takes_storage
def latest_checkpoint(
    directory: str | os.PathLike[str],
    latest_filename: str | None = None,
    *,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
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
      storage: where the files are. None: the default storage, which `use_storage` sets.

    Raises:
      CheckpointPermissionError: the directory cannot be read.
    """
    directory = os.fspath(directory)
    chosen, problem = find_latest(directory, latest_filename)
    if problem is not None:
        using = "no checkpoint is there: a first start" if chosen is None else f"using {chosen}"
        logger.warning("%s: %s; %s", directory, problem, using)
    return chosen


def find_latest(
    directory: str, latest_filename: str | None = None
) -> tuple[str | None, str | None]:
    """The latest checkpoint, and why it is not the one that the state file names.

    One that is named and cannot be read (no permission, too many open files) is the latest all
    the same, with that for a reason: nothing says that it is damaged.

    Args, errors: as `latest_checkpoint`.
    """
    name = latest_filename or STATE_FILE_NAME
    state, unusable = state_or_error(directory, name)
    problem = None if unusable is None else f"the state file cannot be used ({unusable})"
    for _ in range(_LOOKS):
        if state is None:
            break
        latest = _present(state.model_checkpoint_path, directory)
        error = None if latest is None else _problem(latest)
        if latest is not None and error is None:
            return latest, None
        named = f"the state file {name!r} names {state.model_checkpoint_path}, which"
        if error is not None and not _is_damage(error):
            return latest, f"{named} cannot be read ({error})"
        problem = f"{named} is {'damaged' if latest else 'not there'}"
        before, (state, _) = state, state_or_error(directory, name)
        if state is None or state.model_checkpoint_path == before.model_checkpoint_path:
            break  # else a writer has gone on, and deleted it since
    prefixes = list_checkpoints(directory)
    if prefixes:
        sound = (prefix for prefix in prefixes if not _is_damage(_problem(prefix)))
        return next(sound, prefixes[0]), problem or f"no state file {name!r}"
    # Nobody writes those of the old format any more: what is there may just lie there.
    old = next(filter(is_whole, v1_prefixes_in(directory, default_storage())), None)
    if old is not None:
        problem = problem or f"no state file {name!r}"
    return old, problem


def named_latest(directory: str) -> str | None:
    """The checkpoint that the state file names, whole or not; None if there is none."""
    state, _ = state_or_error(directory)
    return None if state is None else _present(state.model_checkpoint_path, directory)


def list_checkpoints(directory: str | os.PathLike[str]) -> list[str]:
    """The prefixes of all checkpoints in `directory`, newest first, whole or not.

    Newest by the time of its index, then by its number.
    """
    directory = os.fspath(directory)
    storage = default_storage()
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
    storage = default_storage()
    for candidate in (path, os.path.join(directory, os.path.basename(path))):
        if checkpoint_exists(candidate, storage):
            return candidate
    return None


def is_whole(prefix: str) -> bool:
    """Whether the index is sound and the data files are all there, in full length.

    That is what a crash can leave; damaged bytes are what `BundleReader.verify` finds.
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
    """Whether an error says that the checkpoint is not whole, and not that it cannot be read."""
    return isinstance(error, CheckpointCorruptError | CheckpointNotFoundError)


def open_named(
    path: Path, open_prefix: Callable[[str], _Opened], find: Callable[[str], str] | None = None
) -> _Opened:
    """Opens what a user's path means; that of a directory also beside a writer.

    A checkpoint that is the latest may be deleted before it is opened, since there is a newer
    one: then that one is opened.

    Args:
      open_prefix: opens the checkpoint of a prefix.
      find: the prefix that a path means; as `checkpoint_prefix` if None.
    """
    find = find or checkpoint_prefix
    given = os.fspath(path)
    prefix = find(given)
    for _ in range(_LOOKS):
        try:
            return open_prefix(prefix)
        except CheckpointNotFoundError:
            before, prefix = prefix, find(given)
            if prefix == before:
                raise
    return open_prefix(prefix)


def checkpoint_prefix(path: str | os.PathLike[str]) -> str:
    """The prefix that a user's path means: a prefix, an `.index` file or a directory.

    A directory stands for its latest checkpoint; that of a SavedModel for its variables.

    Raises:
      CheckpointNotFoundError: a directory without checkpoints.
    """
    prefix = os.fspath(path)
    storage = default_storage()
    if storage.exists(prefix + _INDEX):
        return prefix
    if prefix.endswith(_INDEX) and storage.exists(prefix):
        return prefix[: -len(_INDEX)]
    if not storage.is_directory(prefix):
        return prefix  # the reader says what is not there
    for saved_model in ("saved_model.pb", "saved_model.pbtxt"):
        if storage.exists(os.path.join(prefix, saved_model)):
            return os.path.join(prefix, "variables", "variables")
    latest = latest_checkpoint(prefix)
    if latest is None:
        raise CheckpointNotFoundError("this directory holds no checkpoint", path=prefix)
    return latest


@takes_storage
def get_checkpoint_state(
    checkpoint_dir: Path,
    latest_filename: str | None = None,
    *,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> CheckpointState | None:
    """What the state file of a directory says; None if there is none.

    Its paths are whole ones: relative ones are joined to the directory.

    Args:
      checkpoint_dir: the directory.
      latest_filename: the state file's name, if it is not "checkpoint".
      storage: where the files are. None: the default storage, which `use_storage` sets.

    Returns:
      `.model_checkpoint_path`, `.all_model_checkpoint_paths`,
      `.all_model_checkpoint_timestamps`, `.last_preserved_timestamp`.

    Raises:
      CheckpointCorruptError: it is no state file. (TensorFlow returns None then, as if nothing
        had ever been saved.)
      CheckpointIOError, CheckpointPermissionError: it cannot be read.
    """
    return read_state(os.fspath(checkpoint_dir), latest_filename or STATE_FILE_NAME)


@takes_storage
def update_checkpoint_state(
    save_dir: Path,
    model_checkpoint_path: Path,
    all_model_checkpoint_paths: Sequence[Path] | None = None,
    latest_filename: str | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
    *,
    durability: str = "fsync",
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> None:
    """Writes the state file of a directory: which checkpoint is the latest, which are kept.

    Paths in the directory are written relative to it, so that it can be moved (S16).

    Args:
      save_dir: the directory.
      model_checkpoint_path: the latest checkpoint; a relative path is one from the working
        directory, or from `save_dir` if that is absolute (as in TensorFlow).
      all_model_checkpoint_paths: all that are kept, oldest first; the latest is added if it
        is not the last. None: the latest alone.
      latest_filename: the state file's name, if it is not "checkpoint".
      all_model_checkpoint_timestamps: when each was made, seconds since the epoch.
      last_preserved_timestamp: when a manager last kept one for good.
      durability: "fsync" or "flush", as for `save`.
      storage: where the files are. None: the default storage, which `use_storage` sets.

    Raises:
      ValueError: not as many timestamps as paths.
      RuntimeError: the checkpoint has the state file's own name.
      CheckpointIOError: the system refused; the state file is as it was.
    """
    directory = os.fspath(save_dir)
    name = latest_filename or STATE_FILE_NAME
    latest = _from(directory, model_checkpoint_path)
    paths = [_from(directory, path) for path in all_model_checkpoint_paths or ()]
    if not paths or paths[-1] != latest:
        paths.append(latest)
    times = list(all_model_checkpoint_timestamps or ())
    if times and len(times) != len(paths):
        raise ValueError(
            f"all_model_checkpoint_timestamps has {len(times)} times for {len(paths)} checkpoints "
            f"({', '.join(paths)})"
        )
    if os.path.abspath(latest) == os.path.abspath(os.path.join(directory, name)):
        raise RuntimeError(f"{latest} is the state file: a checkpoint needs another name")
    state = CheckpointState(latest, paths, times, last_preserved_timestamp)
    write_state(directory, state, name=name, durability=durability)


def _from(directory: str, path: Path) -> str:
    given = os.fspath(path)
    return os.path.join(directory, given) if os.path.isabs(directory) else given
