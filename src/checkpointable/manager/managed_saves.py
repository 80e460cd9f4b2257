"""The saves of a manager: whether one is due, its number, and the updates after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from checkpointable.common.working_directory import GivenPath
from checkpointable.manager.checks import check_metrics
from checkpointable.manager.kept import KeptCheckpoints
from checkpointable.manager.steps import DueSave, StepInterval
from checkpointable.savers.checkpoint import Checkpoint
from checkpointable.savers.saver import CheckpointableSaver
from checkpointable.saving.numbering import numbered_prefix
from checkpointable.saving.saving import WriteSettings
from checkpointable.storage import Storage, checked_storage, optional_storage

if TYPE_CHECKING:
    from checkpointable.saving.background import SaveHandle

__all__ = ["ManagedSaves", "shared_storage"]


def shared_storage(
    checkpoint: Checkpoint | CheckpointableSaver, storage: Storage | None
) -> Storage | None:
    """Returns the storage that a manager and its checkpoint share; None for the default one.

    Args:
      storage: the option of the manager.

    Raises:
      ValueError: the two have different storages.
      TypeError: `storage` is not a `Storage`.
    """
    given, other = checked_storage(storage), checkpoint._objects.storage
    if given is not None and other is not None and given is not other:
        raise ValueError(
            f"CheckpointManager: storage is {given!r}, but the checkpoint has a different one, "
            f"{other!r}: pass storage= to only one of the two"
        )
    return other if given is None else given


class ManagedSaves:
    """Saves a checkpoint for a manager.

    Args:
      checkpoint: the object that saves.
      directory: the directory of the checkpoints.
      name: the beginning of the file names.
      steps: decides when a save is due.
      kept: the checkpoints of the manager; each new one is added.
      storage: where the checkpoints are. None: the default storage.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | CheckpointableSaver,
        directory: GivenPath,
        name: str,
        steps: StepInterval,
        kept: KeptCheckpoints,
        storage: Storage | None,
    ) -> None:
        self._checkpoint = checkpoint
        self._directory = directory
        self._name = name
        self._steps = steps
        self._kept = kept
        self._storage = storage

    def save(
        self,
        settings: WriteSettings,
        number: Any = None,
        check_interval: bool = True,
        metrics: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> str | None:
        """Saves a checkpoint, and returns its prefix; None if no save is due.

        Args: as `CheckpointManager.save`, and
          settings: the checked options.
        """
        with self._checkpoint._saves.lock, optional_storage(self._storage):
            due = self._due(check_interval, metrics, session)
            if due is None:
                return None
            with self._counted(due, number) as prefix:
                path = self._checkpoint._objects.write(prefix, session, settings)
            self._kept.take_up(path, due.metrics, settings.durability)
            return prefix

    def save_async(
        self,
        settings: WriteSettings,
        number: Any = None,
        check_interval: bool = True,
        metrics: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> SaveHandle | None:
        """Starts to save a checkpoint in the background; returns None if no save is due."""
        with self._checkpoint._saves.lock, optional_storage(self._storage):
            due = self._due(check_interval, metrics, session)
            if due is None:
                return None
            numbers = due.metrics

            def finish(path: str) -> None:
                self._kept.take_up(path, numbers, settings.durability)

            with self._counted(due, number) as prefix:
                return self._checkpoint._objects.write_async(
                    prefix, session, settings, finish, due.take_back
                )

    def save_now(
        self, settings: WriteSettings, metrics: Callable[[], Mapping[str, Any]] | None
    ) -> str | None:
        """Saves this step regardless of the interval; returns the prefix of the latest checkpoint.

        Args:
          metrics: returns the metrics of the checkpoint.
        """
        self.settle()  # a save of this very step may be in progress
        numbers = None if metrics is None else metrics()
        path = self.save(settings, check_interval=False, metrics=numbers)
        return path if path is not None else self._kept.latest  # this very step is saved already

    def settle(self) -> None:
        """Waits for the last asynchronous save; raises its error if that was not raised yet."""
        self._checkpoint._saves.settle()

    def _due(
        self, check_interval: bool, metrics: Mapping[str, Any] | None, session: Any
    ) -> DueSave | None:
        """Returns the save that is due; None if there is none."""
        numbers = check_metrics(metrics or {}, self._kept.retention.best)
        if not check_interval:
            self.settle()  # a save of this very step may be in progress, and fail
        due = self._steps.due(check_interval, numbers, session)
        if due is not None:
            self.settle()
        return due

    @contextmanager
    def _counted(self, due: DueSave, number: Any) -> Iterator[str]:
        """Counts a save, and yields its prefix. A save that fails in the block is not counted."""
        start = os.path.join(self._directory.display, self._name)
        counter = None
        if isinstance(self._checkpoint, Checkpoint):
            counter = self._checkpoint.save_counter
            counter.assign_add(1)
        try:
            if number is None:
                number = self._kept.next_number() if counter is None else counter
            prefix = numbered_prefix(start, number, storage=self._storage)
            due.note()
            yield prefix
        except BaseException:
            if counter is not None:
                counter.assign_add(-1)
            due.take_back()
            raise
