"""CheckpointManager: which checkpoints of a training are kept, and which to go on from."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from checkpointable.common.types import Durability, Path, Progress
from checkpointable.common.working_directory import GivenPath, absolute_path
from checkpointable.manager.fallback import restore_newest_whole
from checkpointable.manager.kept import KeptCheckpoints
from checkpointable.manager.preemption import Preemption, check_signals
from checkpointable.manager.retention import (
    Best,
    check_best,
    check_hours,
    check_max_to_keep,
    check_metrics,
    check_name,
)
from checkpointable.manager.steps import StepInterval
from checkpointable.manifest import Key, signer_of, verifier_of
from checkpointable.savers.checkpoint import Checkpoint
from checkpointable.savers.saver import CheckpointableSaver
from checkpointable.saving.async_saving import check_blocking
from checkpointable.saving.numbering import numbered_prefix
from checkpointable.storage import check_durability

if TYPE_CHECKING:
    from checkpointable.saving.background import SaveHandle
    from checkpointable.status import LoadStatus
    from checkpointable.tracking.variable import Variable

__all__ = ["CheckpointManager"]

_SECONDS_PER_HOUR = 3600.0


class CheckpointManager:
    """Saves checkpoints into a directory and deletes those that are too many.

        manager = cp.CheckpointManager(checkpoint, "runs/a", max_to_keep=3, best=("loss", "min", 2))
        manager.restore_or_initialize()
        for _ in range(epochs):
            …
            manager.save(metrics={"loss": loss})      # runs/a/ckpt-1, ckpt-2, …

    Kept are the newest `max_to_keep`, the best, and one every so many hours. Only what managers
    of this name wrote into the directory is ever deleted, and never the only whole checkpoint.

    Args:
      checkpoint: a `Checkpoint`, or a `CheckpointableSaver`.
      directory: where the checkpoints go; made by the first save.
      max_to_keep: how many of the newest are kept; None: all.
      keep_checkpoint_every_n_hours: of those that are too many, one is kept for good if it
        was written this long after the last that was; None: none is.
      checkpoint_name: the beginning of the files' names; not a path out of the directory.
      step_counter: an int, or a variable that counts steps; needed with `checkpoint_interval`.
      checkpoint_interval: the least number of steps between two saves.
      init_fn: called by `restore_or_initialize` where there is no checkpoint.
      best: `(metric, "min" or "max", k)`: beside the newest, keep the k best by this metric,
        which is given to `save`. Of equal ones the older is better.
      last_checkpoint_step: the step of the last save, if the first one is to be compared too.
      manifest: of every save: True, or the key that signs it, as in `Checkpoint.save`.
      key: of every restore: the checkpoint must have been signed with it, as in
        `Checkpoint.restore`; `restore_latest_valid` passes over those that were not.

    Raises:
      ValueError: `max_to_keep` is no positive integer, `keep_checkpoint_every_n_hours` is
        negative, `checkpoint_name` leads out of the directory, `checkpoint_interval` is given
        without `step_counter`, `best` is not of this form, or a key is none.
      TypeError: `checkpoint` is neither of the two; the name or the hours are of another type.
      CheckpointIOError, CheckpointPermissionError: the directory, or the history in it, cannot be
        read.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | CheckpointableSaver,
        directory: Path,
        max_to_keep: int | None,
        keep_checkpoint_every_n_hours: float | None = None,
        checkpoint_name: str = "ckpt",
        step_counter: Any = None,
        checkpoint_interval: int | None = None,
        init_fn: Callable[[], object] | None = None,
        best: Best | None = None,
        *,
        last_checkpoint_step: int | None = None,
        manifest: bool | Key = False,
        key: Key | None = None,
    ) -> None:
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
        self._signer = signer_of(manifest)
        self._key = None if key is None else verifier_of(key)
        self._checkpoint = checkpoint
        self._given_directory = GivenPath.of(os.fspath(directory))
        self._name = checkpoint_name
        self._steps = StepInterval(step_counter, checkpoint_interval, last_checkpoint_step)
        self._init_fn = init_fn
        self._best = None if best is None else check_best(best)
        keep_every = hours * _SECONDS_PER_HOUR
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

    @overload
    def save(
        self,
        checkpoint_number: Any = None,
        check_interval: bool = True,
        metrics: Mapping[str, Any] | None = None,
        durability: Durability = "fsync",
        *,
        session: Any = None,
        progress: Progress | None = None,
        blocking: Literal[True] = True,
        max_staging_bytes: int | None = None,
    ) -> str | None: ...

    @overload
    def save(
        self,
        checkpoint_number: Any = None,
        check_interval: bool = True,
        metrics: Mapping[str, Any] | None = None,
        durability: Durability = "fsync",
        *,
        session: Any = None,
        progress: Progress | None = None,
        blocking: bool,
        max_staging_bytes: int | None = None,
    ) -> str | SaveHandle | None: ...

    def save(
        self,
        checkpoint_number: Any = None,
        check_interval: bool = True,
        metrics: Mapping[str, Any] | None = None,
        durability: Durability = "fsync",
        *,
        session: Any = None,
        progress: Progress | None = None,
        blocking: bool = True,
        max_staging_bytes: int | None = None,
    ) -> str | SaveHandle | None:
        """Saves a checkpoint, makes it the latest, and deletes what is too many.

        The state file is updated before anything is deleted. A checkpoint that cannot be
        deleted is logged, and tried again at the next save. Of several threads one saves after
        the other.

        Args:
          checkpoint_number: an int, or a scalar variable or tensor; None: `save_counter` of
            the `Checkpoint`, which counts in any case (of a `CheckpointableSaver`: one more
            than the highest there is).
          check_interval: save only if `checkpoint_interval` steps have passed since the last
            save. False: unless this very step has been saved.
          metrics: name -> number, kept with the checkpoint for `best`.
          durability, session, progress, blocking, max_staging_bytes: as in `Checkpoint.save`.
            If not `blocking`, the checkpoint becomes the latest, and others are deleted, when
            it is there; until then it is in none of the lists.

        Returns:
          The checkpoint's path, or a `SaveHandle` if not `blocking`; None if it was not time
          for one.

        Raises:
          ValueError: `metrics` has no number under the name that `best` goes by; an object
            cannot be saved as it stands; an option has none of its values.
          CheckpointIOError: the system refused.
        """
        with self._checkpoint._saves.lock:
            return self._save(
                checkpoint_number,
                check_interval,
                metrics,
                durability,
                session,
                progress,
                blocking,
                max_staging_bytes,
            )

    def _save(
        self,
        checkpoint_number: Any,
        check_interval: bool,
        metrics: Mapping[str, Any] | None,
        durability: Durability,
        session: Any,
        progress: Progress | None,
        blocking: bool,
        max_staging_bytes: int | None,
    ) -> str | SaveHandle | None:
        check_blocking(blocking, max_staging_bytes)
        numbers = check_metrics(metrics or {}, self._best)
        if not check_interval:
            self._checkpoint._saves.settle()  # this very step may be under way, and fail
        steps = self._steps
        step = steps.current(session)
        if not steps.is_due(step, check_interval):
            return None
        before = steps.last
        self._checkpoint._saves.settle()
        prefix, counter = self._next_prefix(checkpoint_number)
        whole = absolute_path(prefix)

        def finish(path: str) -> None:
            self._kept.take_up(path, numbers, durability)

        def failed() -> None:
            if steps.last == step:
                steps.last = before

        try:
            saved = self._checkpoint._write(
                prefix,
                session,
                durability=durability,
                progress=progress,
                blocking=blocking,
                max_staging_bytes=max_staging_bytes,
                signer=self._signer,
                finish=finish,
                failed=failed,
            )
        except BaseException:
            if counter is not None:
                counter.assign_add(-1)  # what was not saved does not count
            raise
        steps.last = step
        if isinstance(saved, str):
            finish(whole)
        return saved

    def _next_prefix(self, number: Any) -> tuple[str, Variable | None]:
        """Of the checkpoint that is to be written, and what has counted it."""
        start = os.path.join(self._given_directory.display, self._name)
        checkpoint = self._checkpoint
        if isinstance(checkpoint, CheckpointableSaver):
            number = self._kept.next_number() if number is None else number
            return numbered_prefix(start, number), None
        counter = checkpoint.save_counter
        counter.assign_add(1)
        try:
            return numbered_prefix(start, counter if number is None else number), counter
        except BaseException:
            counter.assign_add(-1)
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
            self._checkpoint.restore(latest, key=self._key)
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
        path, status = restore_newest_whole(
            self._checkpoint, self._kept.newest_first(), self._given_directory.display, self._key
        )
        if path is not None:
            self._kept.note_restored(path)
            self._steps.note_restored()
        return status
