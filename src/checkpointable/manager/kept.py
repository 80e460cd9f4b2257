"""The checkpoints of a manager: the latest, those that are kept, and deletion of the others."""

from __future__ import annotations

import os
import time

from checkpointable.bundle.opening import checkpoint_exists
from checkpointable.common.locks import ForkSafeLock
from checkpointable.common.logs import logger
from checkpointable.common.working_directory import GivenPath, absolute_path
from checkpointable.directory.checkpoint_state import update_checkpoint_state
from checkpointable.directory.deletion import delete_checkpoint
from checkpointable.directory.latest import latest_checkpoint, list_checkpoints, named_latest
from checkpointable.directory.state_file import relative_path
from checkpointable.errors import CheckpointError
from checkpointable.manager.checks import Retention
from checkpointable.manager.history import EXPIRED, KEPT, PRESERVED, History, Written
from checkpointable.manager.retention import ranking, sweep
from checkpointable.storage import default_storage

__all__ = ["KeptCheckpoints"]


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


class KeptCheckpoints:
    """The checkpoints in a directory that managers with one `checkpoint_name` wrote.

    File operations use absolute paths: after a change of the working directory a relative one would
    name other files. Methods return paths as the user gave them while these mean the same.

    Args:
      directory: the directory of the checkpoints.
      name: the beginning of the file names.
      retention: the checkpoints to keep.
    """

    def __init__(
        self,
        directory: GivenPath,
        name: str,
        retention: Retention,
    ) -> None:
        self._given_directory = directory
        self._directory = directory.absolute
        self._name = name
        self.retention = retention
        # The background thread of an asynchronous save adds its checkpoint.
        self._lock = ForkSafeLock()
        self._history = History(directory.absolute, name, now())
        if retention.best is not None and retention.max_to_keep and self._history.is_damaged:
            self._spare_what_may_be_best(retention.max_to_keep)
        latest = latest_checkpoint(directory.display)
        self._latest = None if latest is None else absolute_path(latest)

    def _spare_what_may_be_best(self, max_to_keep: int) -> None:
        """Keeps all but the newest for good, because the metrics that rank them are lost."""
        for entry in self._history.with_fate(KEPT)[:-max_to_keep]:
            self._history.decide(entry, PRESERVED)
            logger.warning(
                "%s: kept for good, because it may be among the best: the metrics are lost",
                self._shown(entry),
            )

    @property
    def latest(self) -> str | None:
        """The prefix of the checkpoint last saved or restored; None if there is none."""
        return None if self._latest is None else self._given_directory.display_below(self._latest)

    def note_restored(self, path: str) -> None:
        """Makes the restored checkpoint the latest one."""
        self._latest = absolute_path(path)

    def for_now(self) -> list[str]:
        """Returns the prefixes of the checkpoints that are kept at present, oldest first."""
        with self._lock:
            return [self._shown(entry) for entry in self._history.with_fate(KEPT)]

    def best(self) -> list[str]:
        """Returns the prefixes of the best checkpoints, the best one first."""
        with self._lock:
            return [self._shown(entry) for entry in ranking(self._history, self.retention.best)]

    def take_up(self, prefix: str, metrics: dict[str, float], durability: str) -> None:
        """Makes a new checkpoint the latest one, and deletes old ones.

        Args:
          prefix: its absolute path.
        """
        with self._lock:
            self._latest = prefix
            entry = Written(relative_path(self._directory, prefix), now(), metrics)
            self._history.add(entry)
            sweep(self._history, self.retention, self._path)
            self._record(durability)
            self._delete_expired(durability)

    def next_number(self) -> int:
        """Returns one more than the highest number of a checkpoint with this name."""
        with self._lock:
            kept = [self._path(entry) for entry in self._history.with_fate(KEPT)]
        paths = [*list_checkpoints(self._directory), *kept]
        numbers = [self._number(path) for path in paths]
        return 1 + max((number for number in numbers if number is not None), default=0)

    def newest_first(self) -> list[str]:
        """Returns all checkpoints in the order to try them: the latest, the history, the others."""
        known = [self._path(entry) for entry in self._history.with_fate(KEPT, PRESERVED)]
        others = list_checkpoints(self._directory)
        same_name = [path for path in others if self._number(path) is not None]
        named = named_latest(self._directory)
        candidates = filter(None, [named, *reversed(known), *same_name, self._latest])
        paths: dict[str, str] = {}
        for path in candidates:
            paths.setdefault(os.path.abspath(path), path)
        storage = default_storage()
        existing = [path for path in paths.values() if checkpoint_exists(path, storage)]
        return list(map(self._given_directory.display_below, existing))

    def _number(self, path: str) -> int | None:
        """Returns the number of a checkpoint with this name; None for any other."""
        name, _, number = relative_path(self._directory, path).rpartition("-")
        mine = name == self._name and number.isdecimal() and number.isascii()
        return int(number) if mine and len(number) < 19 else None

    def _path(self, entry: Written) -> str:
        return os.path.join(self._directory, entry.path)

    def _shown(self, entry: Written) -> str:
        return self._given_directory.display_below(self._path(entry))

    def _record(self, durability: str) -> None:
        """Writes the history, then the state file."""
        history = self._history
        history.save(durability)
        kept = history.with_fate(KEPT)
        assert self._latest is not None
        update_checkpoint_state(
            self._directory,
            self._latest,
            [self._path(entry) for entry in kept],
            all_model_checkpoint_timestamps=[entry.timestamp for entry in kept],
            last_preserved_timestamp=history.last_preserved,
            durability=durability,
        )

    def _delete_expired(self, durability: str) -> None:
        expired = self._history.with_fate(EXPIRED)
        for entry in expired:
            try:
                delete_checkpoint(self._path(entry), durability=durability)
            except CheckpointError as error:
                logger.warning("%s: could not be deleted: %s", self._shown(entry), error)
            else:
                self._history.forget(entry)
        if expired:
            if durability == "fsync":  # a deleted file may reappear after a crash
                default_storage().sync_directory(self._directory)
            self._history.save(durability)
