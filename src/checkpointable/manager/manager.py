"""CheckpointManager: saves into a directory, deletes old checkpoints, and restores the latest."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from checkpointable.common.deprecation import renamed_options
from checkpointable.common.types import Durability, Path
from checkpointable.common.working_directory import GivenPath
from checkpointable.manager.checks import Retention, check_metrics_function, check_name
from checkpointable.manager.fallback import restore_newest_whole
from checkpointable.manager.kept import KeptCheckpoints
from checkpointable.manager.managed_saves import ManagedSaves, shared_storage
from checkpointable.manager.preemption import Preemption, check_signals
from checkpointable.manager.steps import StepInterval
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
from checkpointable.saving.saving import WriteSettings
from checkpointable.storage import check_durability, given_path, optional_storage

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from checkpointable.saving.background import SaveHandle
    from checkpointable.status import LoadStatus

__all__ = ["CheckpointManager"]


class CheckpointManager:
    """Saves checkpoints into a directory and deletes old ones.

    It keeps the newest `max_to_keep`, the best, and one per interval of hours. It deletes only
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
                "checkpoint must be a cp.Checkpoint or a cp.CheckpointableSaver, not "
                f"{type(checkpoint).__name__}"
            )
        retention = Retention.of(max_to_keep, keep_checkpoint_every_n_hours, options.get("best"))
        check_name(checkpoint_name)
        key = options.get("trusted_key")
        self._signer = signer_of(options.get("sign_with", False))
        self._trusted_key = None if key is None else verifier_of(key)
        self._checkpoint = checkpoint
        self._steps = StepInterval(
            step_counter, checkpoint_interval, options.get("last_checkpoint_step")
        )
        self._init_fn = options.get("init_fn")
        self._storage = shared_storage(checkpoint, options.get("storage"))
        self._directory = GivenPath.of(given_path(directory, self._storage))
        with optional_storage(self._storage):
            self._kept = KeptCheckpoints(self._directory, checkpoint_name, retention)
        self._saves = ManagedSaves(
            checkpoint,
            self._directory,
            checkpoint_name,
            self._steps,
            self._kept,
            self._storage,
        )

    @property
    def directory(self) -> str:
        """The directory of the checkpoints."""
        return self._directory.display

    @property
    def checkpoint(self) -> Checkpoint | CheckpointableSaver:
        """The object that saves and restores."""
        return self._checkpoint

    @property
    def checkpoint_interval(self) -> int | None:
        """The minimum number of steps between two saves."""
        return self._steps.interval

    @property
    def latest_checkpoint(self) -> str | None:
        """The prefix of the checkpoint last saved or restored; None if there is none.

        A new manager takes it from `cp.latest_checkpoint(directory)`. Prefixes are relative if the
        directory was given so, and absolute once the program has changed its working directory.
        """
        return self._kept.latest

    @property
    def checkpoints(self) -> list[str]:
        """The prefixes of the checkpoints that are kept at present, oldest first.

        Without those that are kept for good (`keep_checkpoint_every_n_hours`).
        """
        return self._kept.for_now()

    @property
    def best_checkpoints(self) -> list[str]:
        """The prefixes of the best checkpoints by the metric of `best`, the best one first."""
        return self._kept.best()

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
        return self._saves.save(settings, checkpoint_number, check_interval, metrics, session)

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
        return self._saves.save_async(settings, checkpoint_number, check_interval, metrics, session)

    def save_on_preemption(
        self,
        signals: int | Sequence[int] = (signal.SIGTERM,),
        *,
        metrics: Callable[[], Mapping[str, Any]] | None = None,
        durability: Durability = "fsync",
    ) -> Preemption:
        """Returns a context manager in which a signal does not end the program, but makes it save.

            with manager.save_on_preemption() as preemption:
                while int(step) < steps:
                    train_step()
                    if preemption.safe_point():
                        break                       # saved: the program may end

        A signal is noted, and the next safe point saves, once for all signals in the block. Enter
        the block in the main thread; call `safe_point` from any thread. The end of the block
        restores the previous handlers. If blocks of managers are nested, each notes the signal.

        Args:
          signals: the number of the signal to handle, or several.
          metrics: a function that returns the metrics of the checkpoint, called when it is saved.
          durability: as in `save`.

        Returns:
          A context manager, see `Preemption`.

        Raises:
          ValueError: `durability` has a wrong value, or a signal cannot be handled.
          TypeError: `metrics` is not a function, or a signal is not a number.
        """
        check_durability(durability)
        check_metrics_function(metrics)

        settings = WriteSettings(durability, signer=self._signer)
        return Preemption(partial(self._saves.save_now, settings, metrics), check_signals(signals))

    def restore_or_initialize(self) -> str | None:
        """Restores the latest checkpoint, or calls `init_fn` if there is none.

        Returns:
          The prefix of the restored checkpoint, or None. `checkpoint.restore` returns a status.

        Raises:
          CheckpointCorruptError, CheckpointMismatchError, CheckpointSignatureError: no variable was
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
        """Restores the newest checkpoint whose checksums all match.

        Goes back from the newest, and reads each checkpoint completely before any variable changes.
        Logs the ones that it skips, and why. With `trusted_key`, checkpoints without a manifest
        that this key signed are skipped too. Afterwards `latest_checkpoint` is the restored one.

        Returns:
          The status of the restore; that of `restore(None)` if there is no checkpoint (S32).

        Raises:
          CheckpointCorruptError: all checkpoints are damaged, and training must not start over.
          CheckpointMismatchError: a complete checkpoint does not fit the program. No variable was
            changed.
          CheckpointIOError, CheckpointUnsupportedError: a checkpoint cannot be read (no permission,
            too many open files, a newer version of the format). It may be complete, so it is not
            skipped: later saves would replace it. No variable was changed.
        """
        with optional_storage(self._storage):
            path, status = restore_newest_whole(
                self._checkpoint, self._kept.newest_first(), self.directory, self._trusted_key
            )
        if path is not None:
            self._kept.note_restored(path)
            self._steps.note_restored()
        return status
