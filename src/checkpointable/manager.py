"""CheckpointManager: which checkpoints of a training are kept, and which to go on from."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from checkpointable.bundle.opening import checkpoint_exists, open_checkpoint
from checkpointable.checkpoint import Checkpoint
from checkpointable.deletion import delete_checkpoint
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointMismatchError,
    CheckpointPermissionError,
)
from checkpointable.history import EXPIRED, KEPT, PRESERVED, History, Written
from checkpointable.keeping import Best, check_best, ranking, sweep
from checkpointable.locks import ForkSafeLock
from checkpointable.logs import logger
from checkpointable.management import (
    latest_checkpoint,
    list_checkpoints,
    named_latest,
    update_checkpoint_state,
)
from checkpointable.manifest import Key, signer_of, verifier_of
from checkpointable.preemption import Preemption
from checkpointable.saver import CheckpointableSaver
from checkpointable.saving import Durability, Path, Progress, numbered_prefix
from checkpointable.state_file import relative_path
from checkpointable.storage import default_storage

if TYPE_CHECKING:
    from checkpointable.background import SaveHandle
    from checkpointable.status import LoadStatus
    from checkpointable.tracking.variable import Variable

__all__ = ["CheckpointManager"]

_SECONDS_PER_HOUR = 3600.0
_MOST_NAMED = 10


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


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
      checkpoint_name: the beginning of the files' names.
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
      ValueError: `max_to_keep` is not positive, `checkpoint_interval` is given without
        `step_counter`, `best` is not of this form, or a key is none.
      TypeError: `checkpoint` is neither of the two.
      CheckpointPermissionError: the directory cannot be read.
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
        if max_to_keep is not None and max_to_keep <= 0:
            raise ValueError(f"max_to_keep is a positive number or None, not {max_to_keep}")
        if checkpoint_interval is not None and step_counter is None:
            raise ValueError("checkpoint_interval needs a step_counter")
        self._signer = signer_of(manifest)
        self._key = None if key is None else verifier_of(key)
        self._checkpoint = checkpoint
        self._directory = os.fspath(directory)
        self._name = checkpoint_name
        self._max_to_keep = max_to_keep
        self._keep_every = (keep_checkpoint_every_n_hours or 0.0) * _SECONDS_PER_HOUR
        self._step_counter = step_counter
        self._interval = checkpoint_interval
        self._last_step = last_checkpoint_step
        self._init_fn = init_fn
        self._best = None if best is None else check_best(best)
        # An asynchronous save takes up its checkpoint from its own thread.
        self._lock = ForkSafeLock()
        self._history = History(self._directory, checkpoint_name, now())
        self._latest = latest_checkpoint(self._directory)

    @property
    def directory(self) -> str:
        """Where the checkpoints are."""
        return self._directory

    @property
    def checkpoint(self) -> Checkpoint | CheckpointableSaver:
        """What is saved and restored."""
        return self._checkpoint

    @property
    def checkpoint_interval(self) -> int | None:
        """The least number of steps between two saves."""
        return self._interval

    @property
    def latest_checkpoint(self) -> str | None:
        """The path of the checkpoint last saved, or found when the manager was made.

        That is what `cp.latest_checkpoint(directory)` finds; None if there is none.
        """
        return self._latest

    @property
    def checkpoints(self) -> list[str]:
        """The paths of the checkpoints that are kept for now, oldest first.

        Those that are kept for good (`keep_checkpoint_every_n_hours`) are not among them.
        """
        with self._lock:
            return [self._path(entry) for entry in self._history.with_fate(KEPT)]

    @property
    def best_checkpoints(self) -> list[str]:
        """The paths of the best checkpoints by `best`, the best one first."""
        with self._lock:
            return [self._path(entry) for entry in ranking(self._history, self._best)]

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
            cannot be saved as it stands.
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
        numbers = self._check_metrics(metrics or {})
        step = None
        if self._interval is not None:
            step = _scalar(self._step_counter)
            if self._last_step is not None:
                least = self._last_step + self._interval if check_interval else 0
                if step == self._last_step or step < least:
                    return None
        before = self._last_step
        self._checkpoint._saves.settle()
        prefix, counter = self._next_prefix(checkpoint_number)

        def finish(_: str) -> None:
            self._is_there(prefix, numbers, durability)

        def failed() -> None:
            if self._last_step == step:
                self._last_step = before

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
        self._last_step = step
        if isinstance(saved, str):
            finish(saved)
        return saved

    def _is_there(self, prefix: str, metrics: dict[str, float], durability: Durability) -> None:
        """Takes up a checkpoint that was written, and deletes what is too many."""
        with self._lock:
            self._latest = prefix
            entry = Written(relative_path(self._directory, prefix), now(), metrics)
            self._history.add(entry)
            sweep(self._history, self._max_to_keep, self._keep_every, self._best, self._path)
            self._record(durability)
            self._delete_expired(durability)

    def _next_prefix(self, number: Any) -> tuple[str, Variable | None]:
        """Of the checkpoint that is to be written, and what has counted it."""
        start = os.path.join(self._directory, self._name)
        checkpoint = self._checkpoint
        if isinstance(checkpoint, CheckpointableSaver):
            return numbered_prefix(start, self._next_number() if number is None else number), None
        counter = checkpoint.save_counter
        counter.assign_add(1)
        try:
            return numbered_prefix(start, counter if number is None else number), counter
        except BaseException:
            counter.assign_add(-1)
            raise

    def _next_number(self) -> int:
        paths = [*list_checkpoints(self._directory), *self.checkpoints]
        numbers = [self._number(path) for path in paths]
        return 1 + max((number for number in numbers if number is not None), default=0)

    def _number(self, path: str) -> int | None:
        """The number of a checkpoint of this manager's name; None of any other."""
        name, _, number = relative_path(self._directory, path).rpartition("-")
        mine = name == self._name and number.isdecimal() and number.isascii()
        return int(number) if mine and len(number) < 19 else None

    def _check_metrics(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        numbers: dict[str, float] = {}
        for name, value in metrics.items():
            try:
                numbers[str(name)] = float(_scalar(value))
            except (TypeError, ValueError) as error:
                raise ValueError(f"metrics: {name!r} is no number: {error}") from None
        if metrics and self._best is not None and self._best[0] not in numbers:
            raise ValueError(
                f"metrics has no {self._best[0]!r}, which best= goes by; it has "
                f"{', '.join(map(repr, numbers))}"
            )
        return numbers

    # -- keep and delete -------------------------------------------------------------------

    def _path(self, entry: Written) -> str:
        return os.path.join(self._directory, entry.path)

    def _record(self, durability: Durability) -> None:
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

    def _delete_expired(self, durability: Durability) -> None:
        expired = self._history.with_fate(EXPIRED)
        for entry in expired:
            try:
                delete_checkpoint(self._path(entry), durability=durability)
            except CheckpointError as error:
                logger.warning("%s: could not be deleted: %s", self._path(entry), error)
            else:
                self._history.forget(entry)
        if expired:
            if durability == "fsync":  # the history must not forget what may come back
                default_storage().sync_directory(self._directory)
            self._history.save(durability)

    # -- preemption ------------------------------------------------------------------------

    def save_on_preemption(
        self,
        signals: Sequence[int] = (signal.SIGTERM,),
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
          signals: which are answered.
          metrics: gives the metrics to be saved with it.
          durability: as in `save`.
        """

        def save() -> str | None:
            self._checkpoint._saves.settle()  # this very step may be under way
            numbers = None if metrics is None else metrics()
            path = self.save(check_interval=False, metrics=numbers, durability=durability)
            return path if path is not None else self._latest  # this very step is saved

        return Preemption(save, signals)

    # -- restore ---------------------------------------------------------------------------

    def restore_or_initialize(self) -> str | None:
        """Restores the latest checkpoint; where there is none, calls `init_fn`.

        Returns:
          The path of what was restored, or None. For its status use `checkpoint.restore(path)`.

        Raises:
          CheckpointCorruptError, CheckpointMismatchError, CheckpointSignatureError: nothing was
            changed.
        """
        if self._latest is not None:
            self._checkpoint.restore(self._latest, key=self._key)
            self._note_step()
            return self._latest
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
        """
        skipped: list[str] = []
        for path in self._newest_first():
            problem = _damage(path)
            if problem is None:
                try:
                    status = self._checkpoint.restore(path, key=self._key)
                except (CheckpointMismatchError, CheckpointPermissionError):
                    raise
                except CheckpointError as error:
                    problem = str(error)
                else:
                    self._latest = path
                    self._note_step()
                    return status
            logger.warning("%s: skipped, since it is not whole: %s", path, problem)
            skipped.append(path)
        if not skipped:
            return self._checkpoint.restore(None)
        named = ", ".join(map(os.path.basename, skipped[:_MOST_NAMED]))
        raise CheckpointCorruptError(
            f"none of the {len(skipped)} checkpoints here is whole ({named}); the log says why",
            path=self._directory,
        )

    def _newest_first(self) -> list[str]:
        """All checkpoints to go back through: the latest, what is in the history, the rest."""
        known = [self._path(entry) for entry in self._history.with_fate(KEPT, PRESERVED)]
        others = list_checkpoints(self._directory)
        own = [path for path in others if self._number(path) is not None]
        named = named_latest(self._directory)
        candidates = filter(None, [named, *reversed(known), *own, self._latest])
        found: dict[str, str] = {}
        for path in candidates:
            found.setdefault(os.path.abspath(path), path)
        storage = default_storage()
        return [path for path in found.values() if checkpoint_exists(path, storage)]

    def _note_step(self) -> None:
        if self._interval is not None:
            self._last_step = _scalar(self._step_counter)


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


def _scalar(value: Any) -> Any:
    """The one number in an int, a variable or a tensor of any framework."""
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    if array.size != 1:
        raise ValueError(f"one number is wanted, not an array of shape {array.shape}")
    return array.reshape(()).item()
