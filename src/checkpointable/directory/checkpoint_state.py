"""get_checkpoint_state and update_checkpoint_state: the state file, for users (S16)."""

from __future__ import annotations

import os
from collections.abc import Sequence

from checkpointable.common.types import Path
from checkpointable.directory.state_file import (
    STATE_FILE_NAME,
    CheckpointState,
    read_state,
    write_state,
)
from checkpointable.storage import Storage, given_path, takes_storage

__all__ = ["get_checkpoint_state", "update_checkpoint_state"]


@takes_storage
def get_checkpoint_state(
    checkpoint_dir: Path,
    latest_filename: str | None = None,
    *,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> CheckpointState | None:
    """Reads the state file of a directory. Returns None if there is none.

    Relative paths in the file are joined to the directory.

    Args:
      checkpoint_dir: the directory.
      latest_filename: name of the state file. None: "checkpoint".
      storage: the storage of the files. None: the default storage, which `use_storage` sets.

    Returns:
      A `CheckpointState` with `model_checkpoint_path`, `all_model_checkpoint_paths`,
      `all_model_checkpoint_timestamps` and `last_preserved_timestamp`.

    Raises:
      CheckpointCorruptError: the file is not a state file. (TensorFlow returns None in this
        case, as if nothing had been saved.)
      CheckpointIOError, CheckpointPermissionError: the file cannot be read.
    """
    return read_state(given_path(checkpoint_dir), latest_filename or STATE_FILE_NAME)


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
    """Writes the state file of a directory: the latest checkpoint and the ones that are kept.

    Paths inside the directory are written relative to it, so that it can be moved (S16).

    Args:
      save_dir: the directory.
      model_checkpoint_path: the latest checkpoint. A relative path is relative to the working
        directory, or to `save_dir` if that is absolute (as in TensorFlow).
      all_model_checkpoint_paths: all checkpoints that are kept, oldest first. The latest is
        appended if it is not the last one. None: only the latest.
      latest_filename: name of the state file. None: "checkpoint".
      all_model_checkpoint_timestamps: time of each checkpoint, in seconds since the epoch.
      last_preserved_timestamp: time of the last checkpoint that a manager keeps permanently,
        in seconds since the epoch.
      durability: "fsync" or "flush", as for `save`.
      storage: the storage of the files. None: the default storage, which `use_storage` sets.

    Raises:
      ValueError: the numbers of timestamps and paths differ.
      RuntimeError: the checkpoint has the name of the state file.
      CheckpointIOError: the state file could not be written; the previous one is intact.
    """
    directory = given_path(save_dir)
    name = latest_filename or STATE_FILE_NAME
    latest = _from(directory, model_checkpoint_path)
    paths = [_from(directory, path) for path in all_model_checkpoint_paths or ()]
    if not paths or paths[-1] != latest:
        paths.append(latest)
    times = list(all_model_checkpoint_timestamps or ())
    if times and len(times) != len(paths):
        raise ValueError(
            f"all_model_checkpoint_timestamps has {len(times)} times for {len(paths)} checkpoints: "
            f"{', '.join(paths)}"
        )
    if os.path.abspath(latest) == os.path.abspath(os.path.join(directory, name)):
        raise RuntimeError(
            f"{latest} is the state file of the directory; give the checkpoint another name"
        )
    state = CheckpointState(latest, paths, times, last_preserved_timestamp)
    write_state(directory, state, name=name, durability=durability)


def _from(directory: str, path: Path) -> str:
    given = given_path(path)
    return os.path.join(directory, given) if os.path.isabs(directory) else given
