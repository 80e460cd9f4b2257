"""checkpoints_iterator: for a job that evaluates what another one saves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from checkpointable.common.logs import logger
from checkpointable.common.types import Path
from checkpointable.directory.latest import find_latest, is_whole
from checkpointable.errors import CheckpointError
from checkpointable.storage import FileIdentity, Storage, default_storage, optional_storage

__all__ = ["checkpoints_iterator"]

_SECONDS_BETWEEN_LOOKS = 1.0


def now() -> float:
    """Seconds since some moment."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)


def checkpoints_iterator(
    directory: Path,
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Callable[[], bool] | None = None,
    *,
    storage: Storage | None = None,
) -> Iterator[str]:
    """Yields the latest checkpoint of a directory, then each new latest one, and waits between.

        for path in cp.checkpoints_iterator("runs/a", timeout=3600):
            checkpoint.restore(path).expect_partial()
            evaluate()

    Ones that came and were superseded meanwhile are left out. One that is written again under
    its old name is new. Only whole checkpoints are yielded; the directory need not exist yet.

    Args:
      directory: where another program saves.
      min_interval_secs: the least time from one to the next, in seconds.
      timeout: how long to wait for a new one, in seconds; None: for ever.
      timeout_fn: asked after a timeout, and after each checkpoint: True ends the iteration.
        None: a timeout ends it.
      storage: where the files are. None: the default storage, which `use_storage` sets.

    Yields:
      Paths, to be given to `restore`.
    """
    directory = os.fspath(directory)
    seen: tuple[str, FileIdentity | None] | None = None
    warned: str | None = None
    while True:
        start = now()
        while True:
            with optional_storage(storage):  # not around `yield`: the consumer has its default
                found, problem = _look(directory)
            if found is not None and found != seen:
                break
            if problem != warned and problem is not None:
                logger.warning("%s: %s", directory, problem)
            warned = problem
            if timeout is not None and now() + _SECONDS_BETWEEN_LOOKS > start + timeout:
                found = None
                break
            sleep(_SECONDS_BETWEEN_LOOKS)
        if found is not None:
            seen = found
            at = now()
            yield found[0]
            left = at + min_interval_secs - now()
            if left > 0:
                sleep(left)
        elif timeout_fn is None:
            logger.info("%s: no new checkpoint for %s seconds", directory, timeout)
            return
        if timeout_fn is not None and timeout_fn():
            return


def _look(directory: str) -> tuple[tuple[str, FileIdentity | None] | None, str | None]:
    """The latest whole checkpoint and which file it is; what is wrong, where something is."""
    try:
        latest, problem = find_latest(directory)
        if latest is None:
            return None, None  # nothing has been saved yet
        identity = default_storage().identity(f"{latest}.index")
        if problem is not None and not is_whole(latest):
            return None, problem
    except CheckpointError as error:  # what is deleted while it is looked at, say
        return None, str(error)
    return (latest, identity), problem
