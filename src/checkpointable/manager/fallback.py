"""Restores the newest checkpoint whose checksums all match."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from checkpointable.bundle.opening import open_checkpoint
from checkpointable.common.logs import logger
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIOError,
    CheckpointMismatchError,
    CheckpointUnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from checkpointable.manifest import Verifier
    from checkpointable.savers.checkpoint import Checkpoint
    from checkpointable.savers.saver import CheckpointableSaver
    from checkpointable.status import LoadStatus

__all__ = ["restore_newest_whole"]

_MOST_NAMED = 10

# Errors of a medium: the bytes are lost, as if they were damaged. (EBADMSG, EUCLEAN and ENODATA, if
# the system has them, report wrong checksums of the file system.)
_OF_MEDIUM = {
    getattr(errno, name, errno.EIO)
    for name in ("EIO", "EBADMSG", "EUCLEAN", "ENODATA", "EREMOTEIO", "EINVAL")
}


def restore_newest_whole(
    checkpoint: Checkpoint | CheckpointableSaver,
    paths: Iterable[str],
    directory: str,
    trusted_key: Verifier | None,
) -> tuple[str | None, LoadStatus]:
    """Restores the first complete checkpoint of `paths`; logs the ones that it skips, and why.

    Args:
      paths: checkpoint prefixes, the newest first.
      directory: their directory, for the error.
      trusted_key: the key that must have signed each of them.

    Returns:
      The prefix and the status; None and the status of `restore(None)` if there are no paths.

    Raises:
      CheckpointCorruptError: all of them are damaged.
      CheckpointMismatchError: a complete one does not fit the program.
      CheckpointIOError, CheckpointUnsupportedError: one cannot be read, and may be complete: no
        permission, too many open files, a newer version of the format. No variable was changed.
    """
    skipped: list[str] = []
    for path in paths:
        status, problem = _restored(checkpoint, path, trusted_key)
        if status is not None:
            return path, status
        logger.warning("%s: skipped: %s", path, problem)
        skipped.append(path)
    if not skipped:
        return None, checkpoint.restore(None)
    named = ", ".join(map(os.path.basename, skipped[:_MOST_NAMED]))
    raise CheckpointCorruptError(
        f"none of the {len(skipped)} checkpoints here is complete ({named}); the log "
        "has the reasons",
        path=directory,
    )


def _restored(
    checkpoint: Checkpoint | CheckpointableSaver, path: str, trusted_key: Verifier | None
) -> tuple[LoadStatus | None, str]:
    """Restores a checkpoint if it is complete; returns the status, or None and the problem.

    Raises: as `restore_newest_whole`.
    """
    problem = ""
    for _ in range(2):  # a disk or a network may fail once and work the next time
        try:
            return _attempt(checkpoint, path, trusted_key)
        except CheckpointIOError as error:
            if error.errno not in _OF_MEDIUM:
                raise
            problem = str(error)
    return None, problem


def _attempt(
    checkpoint: Checkpoint | CheckpointableSaver, path: str, trusted_key: Verifier | None
) -> tuple[LoadStatus | None, str]:
    try:
        with open_checkpoint(path, damaged=True) as reader:
            damages = reader.verify()  # including values that this program does not restore
        if not damages:
            return checkpoint.restore(path, trusted_key=trusted_key), ""
    except (CheckpointIOError, CheckpointMismatchError):
        raise
    except CheckpointUnsupportedError as error:
        if trusted_key is None:
            raise  # it may be complete, and of a newer format
        return None, str(error)  # anyone may have created it
    except CheckpointError as error:
        return None, str(error)
    first = damages[0]
    name = "" if first.key is None else f", key {first.key!r}"
    more = f" (and {len(damages) - 1} more)" if len(damages) > 1 else ""
    return None, f"{first.path}{name}, offset {first.offset}: {first.what}{more}"
