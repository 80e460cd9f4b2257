"""checkpoints_iterator: follows the checkpoints that another program saves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from checkpointable.bundle.format import index_path
from checkpointable.common.logs import logger
from checkpointable.common.types import Path
from checkpointable.directory.latest import find_latest, is_whole
from checkpointable.errors import CheckpointError
from checkpointable.storage import (
    FileIdentity,
    Storage,
    default_storage,
    given_path,
    optional_storage,
)

__all__ = ["checkpoints_iterator"]

_SECONDS_BETWEEN_LOOKS = 1.0


def now() -> float:
    """Returns a monotonic time in seconds."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Waits for this many seconds."""
    time.sleep(seconds)


def checkpoints_iterator(
    directory: Path,
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Callable[[], bool] | None = None,
    *,
    storage: Storage | None = None,
) -> Iterator[str]:
    """Yields the latest checkpoint of a directory, waits for the next one, and yields it.

    Only whole checkpoints are yielded. A checkpoint that is superseded while the caller works is
    skipped; one that is rewritten under the same name is yielded again. The directory need not
    exist yet.

    Example:
        for path in cp.checkpoints_iterator("runs/a", timeout=3600):
            checkpoint.restore(path).expect_partial()
            evaluate()

    Args:
      directory: the directory to which another program saves.
      min_interval_secs: minimum time between two checkpoints, in seconds.
      timeout: how long to wait for a new checkpoint, in seconds. None: forever.
      timeout_fn: called after a timeout and after each checkpoint; the iteration ends when it
        returns True. None: a timeout ends the iteration.

    Yields:
      Checkpoint prefixes to pass to `restore`.
    """
    directory = given_path(directory, storage)
    seen: tuple[str, FileIdentity | None] | None = None
    warned: str | None = None
    while True:
        start = now()
        while True:
            with optional_storage(storage):  # not around `yield`: the consumer has its default
                latest, problem = _look(directory)
            if latest is not None and latest != seen:
                break
            if problem != warned and problem is not None:
                logger.warning("%s: %s", directory, problem)
            warned = problem
            if timeout is not None and now() + _SECONDS_BETWEEN_LOOKS > start + timeout:
                latest = None
                break
            sleep(_SECONDS_BETWEEN_LOOKS)
        if latest is not None:
            seen = latest
            at = now()
            yield latest[0]
            left = at + min_interval_secs - now()
            if left > 0:
                sleep(left)
        elif timeout_fn is None:
            logger.info("%s: no new checkpoint for %s seconds", directory, timeout)
            return
        if timeout_fn is not None and timeout_fn():
            return


def _look(directory: str) -> tuple[tuple[str, FileIdentity | None] | None, str | None]:
    """Returns the latest whole checkpoint with the identity of its index, and any problem."""
    try:
        latest, problem = find_latest(directory)
        if latest is None:
            return None, None  # nothing has been saved yet
        identity = default_storage().identity(index_path(latest))
        if problem is not None and not is_whole(latest):
            return None, problem
    except CheckpointError as error:  # for example, it was deleted while it was read
        return None, str(error)
    return (latest, identity), problem
