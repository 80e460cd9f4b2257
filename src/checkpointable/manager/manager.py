"""CheckpointManager: which checkpoints of a training are kept, and which to go on from."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from checkpointable.common.deprecation import renamed_options
from checkpointable.common.types import Durability, Path
from checkpointable.common.working_directory import GivenPath
from checkpointable.manager.fallback import restore_newest_whole
from checkpointable.manager.kept import KeptCheckpoints
from checkpointable.manager.preemption import Preemption, check_signals
from checkpointable.manager.retention import (
    check_best,
    check_hours,
    check_max_to_keep,
    check_metrics,
    check_name,
)
from checkpointable.manager.steps import DueSave, StepInterval
from checkpointable.manifest import signer_of, verifier_of
from checkpointable.savers.checkpoint import Checkpoint
from checkpointable.savers.options import (
    AsyncSaveOptions,
    ManagerOptions,
    SaveOptions,
    check_options,
    takes_blocking,
    write_settings,
)
from checkpointable.savers.saver import CheckpointableSaver
from checkpointable.saving.numbering import numbered_prefix
from checkpointable.storage import Storage, check_durability, checked_storage, optional_storage

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from checkpointable.saving.background import SaveHandle
    from checkpointable.status import LoadStatus

__all__ = ["CheckpointManager"]

_SECONDS_PER_HOUR = 3600.0


class CheckpointManager:
    """Saves checkpoints into a directory and deletes old ones.

    It keeps the newest `max_to_keep`, the best, and one every so many hours. It deletes only
    checkpoints that managers with this `checkpoint_name` wrote, and never the only complete one.

    Example:
        manager = cp.CheckpointManager(checkpoint, "runs/a", max_to_keep=3, best=("loss", "min", 2))
        manager.restore_or_initialize()
        for _ in range(epochs):
            …
            manager.save(metrics={"loss": loss})      # runs/a/ckpt-1, ckpt-2, …

    Args:
      checkpoint: a `Checkpoint` or a `CheckpointableSaver`.
      directory: the directory of the checkpoints; the first save creates it.
      max_to_keep: the number of newest checkpoints to keep. None: all.
      keep_checkpoint_every_n_hours: a checkpoint that would be deleted is kept for good if it was
        written at least this many hours after the last one that was. None: none is.
      checkpoint_name: the beginning of the file names, within the directory.
      step_counter: an int, or a variable that counts steps; required by `checkpoint_interval`.
      checkpoint_interval: the minimum number of steps between two saves.
      options: `init_fn`, `best`, `last_checkpoint_step`, `sign_with`, `trusted_key` and `storage`,
        see `ManagerOptions`.

    Raises:
      ValueError: `max_to_keep` is not a positive integer, `keep_checkpoint_every_n_hours` is
        negative, `checkpoint_name` leads out of the directory, `checkpoint_interval` is given
        without `step_counter`, `best` has another form, or a key is not valid.
      TypeError: `checkpoint`, the name or the hours are of another type; an option is not known.
      CheckpointIOError, CheckpointPermissionError: the directory, or the history in it, cannot be
        read.
    """

    @renamed_options(manifest="sign_with", key="trusted_key")
    def __init__(
        self,
        checkpoint: Checkpoint | CheckpointableSaver,
        directory: Path,
        max_to_keep: int | None,
        keep_checkpoint_every_n_hours: float | None = None,
        checkpoint_name: str = "ckpt",
        step_counter: Any = None,
        checkpoint_interval: int | None = None,
        **options: Unpack[ManagerOptions],
    ) -> None:
        check_options("CheckpointManager", options, ManagerOptions)
        if not isinstance(checkpoint, Checkpoint | CheckpointableSaver):
            raise TypeError(
                "checkpoint is a cp.Checkpoint or a cp.CheckpointableSaver, not "
                f"{type(checkpoint).__name__}"
            )
        check_max_to_keep(max_to_keep)
        hours = check_hours(keep_checkpoint_every_n_hours)
        check_name(checkpoint_name)
        if checkpoint_interval is not None and step_counter is None:
            raise ValueError("checkpoint_interval needs a step_counter")
        key, best = options.get("trusted_key"), options.get("best")
        self._signer = signer_of(options.get("sign_with", False))
        self._trusted_key = None if key is None else verifier_of(key)
        self._checkpoint = checkpoint
        self._given_directory = GivenPath.of(os.fspath(directory))
        self._name = checkpoint_name
        self._steps = StepInterval(
            step_counter, checkpoint_interval, options.get("last_checkpoint_step")
        )
        self._init_fn = options.get("init_fn")
        self._best = None if best is None else check_best(best)
        self._storage = _storage_of(checkpoint, options.get("storage"))
        keep_every = hours * _SECONDS_PER_HOUR
        with optional_storage(self._storage):
            self._kept = KeptCheckpoints(
                self._given_directory, checkpoint_name, max_to_keep, keep_every, self._best
            )

    @property
    def directory(self) -> str:
        """Where the checkpoints are."""
        return self._given_directory.display

    @property
    def checkpoint(self) -> Checkpoint | CheckpointableSaver:
        """What is saved and restored."""
        return self._checkpoint

    @property
    def checkpoint_interval(self) -> int | None:
        """The least number of steps between two saves."""
        return self._steps.interval

    @property
    def latest_checkpoint(self) -> str | None:
        """The path of the checkpoint last saved, or found when the manager was made.

        That is what `cp.latest_checkpoint(directory)` finds; None if there is none. This path and
        the others are as the directory was given, or whole ones, once the program has gone to
        another working directory.
        """
        return self._kept.latest

    @property
    def checkpoints(self) -> list[str]:
        """The paths of the checkpoints that are kept for now, oldest first.

        Those that are kept for good (`keep_checkpoint_every_n_hours`) are not among them.
        """
        return self._kept.for_now()

    @property
    def best_checkpoints(self) -> list[str]:
        """The paths of the best checkpoints by `best`, the best one first."""
        return self._kept.best()

    # -- save ------------------------------------------------------------------------------

    @takes_blocking
    def save(
        self,
        checkpoint_number: Any = None,
        check_interval: bool = True,
        metrics: Mapping[str, Any] | None = None,
        *,
        session: Any = None,
        **options: Unpack[SaveOptions],
    ) -> str | None:
        """Saves a checkpoint, makes it the latest, and deletes old ones.

        The state file is updated before anything is deleted. A checkpoint that cannot be
        deleted is logged, and the next save tries again. Concurrent saves are serialized.

        Args:
          checkpoint_number: an int, or a scalar variable or tensor. None: the `save_counter` of
            the `Checkpoint`, which counts in any case; with a `CheckpointableSaver`, one more than
            the highest number in the directory.
          check_interval: True: save only if `checkpoint_interval` steps have passed since the last
            save. False: save unless this very step is saved already.
          metrics: name -> number, stored with the checkpoint for `best`.
          session, options: as in `Checkpoint.save`; `sign_with` overrides that of the manager.

        Returns:
          The checkpoint prefix; None if no save was due.

        Raises:
          ValueError: `metrics` has no number under the name that `best` ranks by, an object cannot
            be saved, or an option has a wrong value.
          CheckpointIOError: the system refused. Existing checkpoints are intact.
        """
        settings = write_settings("CheckpointManager.save", options, SaveOptions, self._signer)
        with self._checkpoint._saves.lock, optional_storage(self._storage):
            due = self._due(check_interval, metrics, session)
            if due is None:
                return None
            with self._counted(due, checkpoint_number) as prefix:
                path = self._checkpoint._objects.write(prefix, session, settings)
            self._kept.take_up(path, due.metrics, settings.durability)
            return prefix

    def save_async(
        self,
        checkpoint_number: Any = None,
        check_interval: bool = True,
        metrics: Mapping[str, Any] | None = None,
        *,
        session: Any = None,
        **options: Unpack[AsyncSaveOptions],
    ) -> SaveHandle | None:
        """Saves in the background, see `CheckpointableSaver.save_async`.

        The checkpoint becomes the latest one, and old ones are deleted, when it is complete. Until
        then it is in none of the lists.

        Args:
          checkpoint_number, check_interval, metrics, session: as in `save`.
          options: as in `Checkpoint.save_async`.

        Returns:
          A handle to wait for the checkpoint; None if no save was due.

        Raises: as `save`. The handle raises errors that occur later.
        """
        function = "CheckpointManager.save_async"
        settings = write_settings(function, options, AsyncSaveOptions, self._signer)
        with self._checkpoint._saves.lock, optional_storage(self._storage):
            due = self._due(check_interval, metrics, session)
            if due is None:
                return None
            saved = due.metrics

            def finish(path: str) -> None:
                self._kept.take_up(path, saved, settings.durability)

            with self._counted(due, checkpoint_number) as prefix:
                return self._checkpoint._objects.write_async(
                    prefix, session, settings, finish, due.take_back
                )

    def _due(
        self, check_interval: bool, metrics: Mapping[str, Any] | None, session: Any
    ) -> DueSave | None:
        """Returns the save that is due; None if there is none."""
        numbers = check_metrics(metrics or {}, self._best)
        saves = self._checkpoint._saves
        if not check_interval:
            saves.settle()  # this very step may be under way, and fail
        due = self._steps.due(check_interval, numbers, session)
        if due is not None:
            saves.settle()
        return due

    @contextmanager
    def _counted(self, due: DueSave, number: Any) -> Iterator[str]:
        """Counts a save, and yields its prefix. A save that fails in the block is not counted."""
        start = os.path.join(self._given_directory.display, self._name)
        checkpoint, counter = self._checkpoint, None
        if isinstance(checkpoint, Checkpoint):
            counter = checkpoint.save_counter
            counter.assign_add(1)
        try:
            if number is None:
                number = self._kept.next_number() if counter is None else counter
            prefix = numbered_prefix(start, number)
            due.note()
            yield prefix
        except BaseException:
            if counter is not None:
                counter.assign_add(-1)
            due.take_back()
            raise

    # -- preemption ------------------------------------------------------------------------

    def save_on_preemption(
        self,
        signals: int | Sequence[int] = (signal.SIGTERM,),
        *,
        metrics: Callable[[], Mapping[str, Any]] | None = None,
        durability: Durability = "fsync",
    ) -> Preemption:
        """Within the block a SIGTERM ends nothing; the next safe point saves.

            with manager.save_on_preemption() as preemption:
                while int(step) < steps:
                    train_step()
                    if preemption.safe_point():
                        break                       # saved; the machine may go

        A preemptible machine gives some seconds between the signal and the end. Enter it in
        the main thread; `safe_point` may be called from any. The handlers that were there
        before come back when the block ends. A block of another manager around this one notes
        the signal too: each has its own safe point.

        Args:
          signals: which are answered; one, or several. Saved is once for all that come within
            the block.
          metrics: a function that gives the metrics to be saved with it.
          durability: as in `save`.

        Raises:
          ValueError: another `durability`, or a signal that cannot be answered: now, and not when
            the machine is about to go.
          TypeError: `metrics` is no function, or a signal no number.
        """
        check_durability(durability)
        if metrics is not None and not callable(metrics):
            raise TypeError(
                f"metrics is a function that gives them, not a {type(metrics).__name__}: what they "
                "are is asked when a signal has come"
            )

        def save() -> str | None:
            self._checkpoint._saves.settle()  # this very step may be under way
            numbers = None if metrics is None else metrics()
            path = self.save(check_interval=False, metrics=numbers, durability=durability)
            return path if path is not None else self._kept.latest  # this very step is saved

        return Preemption(save, check_signals(signals))

    # -- restore ---------------------------------------------------------------------------

    def restore_or_initialize(self) -> str | None:
        """Restores the latest checkpoint; where there is none, calls `init_fn`.

        Returns:
          The path of what was restored, or None. For its status use `checkpoint.restore(path)`.

        Raises:
          CheckpointCorruptError, CheckpointMismatchError, CheckpointSignatureError: nothing was
            changed.
        """
        latest = self._kept.latest
        if latest is not None:
            with optional_storage(self._storage):
                self._checkpoint.restore(latest, trusted_key=self._trusted_key)
            self._steps.note_restored()
            return latest
        if self._init_fn is not None:
            self._init_fn()
        return None

    def restore_latest_valid(self) -> LoadStatus:
        """Restores the newest checkpoint that is whole to the last checksum.

        Goes back from the newest, reads each completely before anything is changed, and logs
        what it skips and why. With the manager's `key`, one that it did not sign is skipped
        too. Afterwards `latest_checkpoint` is the one restored.

        Returns:
          Its status; where there is no checkpoint, that of `restore(None)` (S32).

        Raises:
          CheckpointCorruptError: there are checkpoints, but none is whole: training must not
            silently start over.
          CheckpointMismatchError: a whole one does not fit the program; nothing was changed.
          CheckpointIOError, CheckpointUnsupportedError: one cannot be read (no permission, too many
            open files, a newer version of the format), which says nothing of its bytes: it is not
            passed over, since the next saves would take its place. Nothing was changed.
        """
        with optional_storage(self._storage):
            path, status = restore_newest_whole(
                self._checkpoint, self._kept.newest_first(), self.directory, self._trusted_key
            )
        if path is not None:
            self._kept.note_restored(path)
            self._steps.note_restored()
        return status


def _storage_of(checkpoint: Checkpoint | CheckpointableSaver, storage: Any) -> Storage | None:
    """Returns the storage that a manager and its checkpoint share; None for the default one."""
    given, other = checked_storage(storage), checkpoint._objects.storage
    if given is not None and other is not None and given is not other:
        raise ValueError(
            f"CheckpointManager: storage is {given!r}, but the checkpoint has another one, "
            f"{other!r}: give storage= to one of the two"
        )
    return other if given is None else given
