"""Going back to the newest checkpoint that is whole to the last checksum."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from checkpointable.bundle.opening import open_checkpoint
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointMismatchError,
    CheckpointPermissionError,
)
from checkpointable.logs import logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from checkpointable.checkpoint import Checkpoint
    from checkpointable.manifest import Verifier
    from checkpointable.saver import CheckpointableSaver
    from checkpointable.status import LoadStatus

__all__ = ["restore_newest_whole"]

_MOST_NAMED = 10


def restore_newest_whole(
    checkpoint: Checkpoint | CheckpointableSaver,
    paths: Iterable[str],
    directory: str,
    key: Verifier | None,
) -> tuple[str | None, LoadStatus]:
    """Restores the first of `paths` that is whole, and logs what it skips and why.

    Args:
      paths: the newest one first.
      directory: where they are, for the error.
      key: what each must have been signed with.

    Returns:
      Its path and its status; None and the status of `restore(None)` where there are no paths.

    Raises:
      CheckpointCorruptError: none of them is whole.
      CheckpointMismatchError, CheckpointPermissionError: a whole one does not fit the program;
        one cannot be read. Nothing was changed.
    """
    skipped: list[str] = []
    for path in paths:
        problem = _damage(path)
        if problem is None:
            try:
                status = checkpoint.restore(path, key=key)
            except (CheckpointMismatchError, CheckpointPermissionError):
                raise
            except CheckpointError as error:
                problem = str(error)
            else:
                return path, status
        logger.warning("%s: skipped, since it is not whole: %s", path, problem)
        skipped.append(path)
    if not skipped:
        return None, checkpoint.restore(None)
    named = ", ".join(map(os.path.basename, skipped[:_MOST_NAMED]))
    raise CheckpointCorruptError(
        f"none of the {len(skipped)} checkpoints here is whole ({named}); the log says why",
        path=directory,
    )


def _damage(path: str) -> str | None:
    """What is wrong with a checkpoint, every checksum looked at; None if nothing is.

    Raises:
      CheckpointPermissionError: it cannot be read, which says nothing of its bytes.
    """
    try:
        with open_checkpoint(path, damaged=True) as reader:
            found = reader.verify()
    except CheckpointPermissionError:
        raise
    except CheckpointError as error:
        return str(error)
    if not found:
        return None
    first = found[0]
    key = "" if first.key is None else f", key {first.key!r}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{first.path}{key}, offset {first.offset}: {first.what}{more}"
