"""Finds the checkpoint prefix for a path that a user gives."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from checkpointable.bundle.format import index_path, prefix_of_index
from checkpointable.common.types import Path
from checkpointable.directory.latest import LOOKS, latest_checkpoint
from checkpointable.directory.state_file import state_or_error
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.storage import default_storage, given_path

__all__ = ["checkpoint_prefix", "open_named"]

_Opened = TypeVar("_Opened")


def open_named(
    path: Path, open_prefix: Callable[[str], _Opened], find: Callable[[str], str] | None = None
) -> _Opened:
    """Opens the checkpoint that a path stands for, even while a writer replaces the latest one.

    The latest checkpoint may be deleted before it is opened, because a newer one exists. In
    that case the newer one is opened.

    Args:
      path: a checkpoint prefix, an `.index` file or a directory.
      open_prefix: opens the checkpoint of a prefix.
      find: returns the prefix for a path. None: `checkpoint_prefix`.
    """
    find = find or checkpoint_prefix
    given = given_path(path)
    prefix = find(given)
    for _ in range(LOOKS):
        try:
            return open_prefix(prefix)
        except CheckpointNotFoundError:
            before, prefix = prefix, find(given)
            if prefix == before:
                raise
    return open_prefix(prefix)


def checkpoint_prefix(path: str | os.PathLike[str], *, damaged: bool = False) -> str:
    """Returns the checkpoint prefix that a path stands for.

    A directory stands for its latest checkpoint, the directory of a SavedModel for its
    variables.

    Args:
      path: a checkpoint prefix, an `.index` file or a directory.
      damaged: for a directory, return the checkpoint that its state file names even if that is
        damaged. By default the latest whole checkpoint is returned.

    Raises:
      CheckpointNotFoundError: the directory contains no checkpoint.
    """
    prefix = given_path(path)
    storage = default_storage()
    if storage.exists(index_path(prefix)):
        return prefix
    without_ending = prefix_of_index(prefix)
    if without_ending is not None and storage.exists(prefix):
        return without_ending
    if not storage.is_directory(prefix):
        return prefix  # opening it names the missing files
    for saved_model in ("saved_model.pb", "saved_model.pbtxt"):
        if storage.exists(os.path.join(prefix, saved_model)):
            return os.path.join(prefix, "variables", "variables")
    latest = (_named_by_state_file(prefix) if damaged else None) or latest_checkpoint(prefix)
    if latest is None:
        raise CheckpointNotFoundError("the directory contains no checkpoint", path=prefix)
    return latest


def _named_by_state_file(directory: str) -> str | None:
    state, _ = state_or_error(directory)  # `latest_checkpoint` warns about the error
    if state is None or not default_storage().exists(index_path(state.model_checkpoint_path)):
        return None
    return state.model_checkpoint_path
