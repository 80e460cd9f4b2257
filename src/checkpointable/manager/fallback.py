"""Going back to the newest checkpoint that is whole to the last checksum."""

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

# What a system says of a file that it cannot read because of the medium: bytes that are lost, as
# damaged ones are. (A file system's own checksums: EBADMSG, EUCLEAN, ENODATA, where they exist.)
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
    """Restores the first of `paths` that is whole, and logs what it skips and why.

    Args:
      paths: the newest one first.
      directory: where they are, for the error.
      trusted_key: the key that must have signed each of them.

    Returns:
      Its path and its status; None and the status of `restore(None)` where there are no paths.

    Raises:
      CheckpointCorruptError: none of them is whole.
      CheckpointMismatchError: a whole one does not fit the program.
      CheckpointIOError, CheckpointUnsupportedError: one cannot be read, which says nothing of its
        bytes: no permission, too many open files, a newer version of the format. Nothing was
        changed.
    """
    skipped: list[str] = []
    for path in paths:
        status, problem = _restored(checkpoint, path, trusted_key)
        if status is not None:
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


def _restored(
    checkpoint: Checkpoint | CheckpointableSaver, path: str, trusted_key: Verifier | None
) -> tuple[LoadStatus | None, str]:
    """Restores a checkpoint if it is whole: the status, or None and what is wrong with it.

    Raises: as `restore_newest_whole`.
    """
    problem = ""
    for _ in range(2):  # a disk, or a network, that fails once may not fail twice
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
            damages = reader.verify()  # also of values that this program does not restore
        if not damages:
            return checkpoint.restore(path, trusted_key=trusted_key), ""
    except (CheckpointIOError, CheckpointMismatchError):
        raise
    except CheckpointUnsupportedError as error:
        if trusted_key is None:
            raise  # it may be whole, and newer than all that can be read
        return None, str(error)  # anybody may have laid it there
    except CheckpointError as error:
        return None, str(error)
    first = damages[0]
    name = "" if first.key is None else f", key {first.key!r}"
    more = f" (and {len(damages) - 1} more)" if len(damages) > 1 else ""
    return None, f"{first.path}{name}, offset {first.offset}: {first.what}{more}"
