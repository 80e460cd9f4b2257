"""Saves before a machine is preempted: a signal is noted, and the next safe point saves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from types import FrameType, TracebackType
from typing import Any

from checkpointable.common.logs import logger

__all__ = ["Preemption", "check_signals"]

_NOT_HANDLED = {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")}

Handler = Callable[[int, FrameType | None], Any] | int | None


def check_signals(signals: Any) -> tuple[int, ...]:
    """Returns the numbers of the signals to handle.

    Raises:
      ValueError: there is no signal, or a program cannot handle one of them.
      TypeError: a signal is not a number.
    """
    given = (signals,) if isinstance(signals, int) else signals
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(
            f"signals is {signals!r}; it must be a number such as signal.SIGTERM, or several"
        )
    numbers = []
    for number in given:
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"a signal is {number!r}; it must be a number such as signal.SIGTERM")
        if number not in signal.valid_signals() or number in _NOT_HANDLED:
            raise ValueError(f"no program can handle the signal {number!r}")
        numbers.append(number)
    if not numbers:
        raise ValueError("signals is empty; save_on_preemption() without it handles SIGTERM")
    return tuple(numbers)


class Preemption:
    """A context manager in which signals are noted instead of ending the program.

    `CheckpointManager.save_on_preemption` creates it. If blocks are nested, each notes the signals.

    Example:
        with manager.save_on_preemption() as preemption:
            while int(step) < steps:
                train_step()
                if preemption.safe_point():
                    break

    Args:
      save: saves, and returns the prefix of the latest checkpoint.
      signals: the numbers of the signals.
    """

    def __init__(self, save: Callable[[], str | None], signals: Sequence[int]) -> None:
        self._save = save
        self._signals = tuple(signals)
        self._old: dict[int, Handler] = {}
        self._received: int | None = None
        self._saved: str | None = None
        self._lock = threading.Lock()

    @property
    def requested(self) -> bool:
        """True if a signal has arrived, so that the next `safe_point` saves."""
        return self._received is not None

    @property
    def saved(self) -> str | None:
        """The prefix of the checkpoint that was saved for a signal; None before."""
        return self._saved

    def safe_point(self) -> bool:
        """Saves, once, if a signal has arrived.

        Call it where the objects of the program are consistent, as at the end of a step, from any
        thread.

        Returns:
          Whether a signal has arrived, so that the program should end.

        Raises:
          CheckpointIOError: the save failed. The next safe point tries again.
        """
        if self._received is None:
            return False
        with self._lock:
            if self._saved is None:
                self._saved = self._save()
                logger.info("%s: saved because a signal arrived", self._saved)
        return True

    def __enter__(self) -> Preemption:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "save_on_preemption must be entered in the main thread, where Python sets signal "
                "handlers; safe_point may be called in any thread"
            )
        if self._old:
            raise RuntimeError(
                "this block has been entered already; call save_on_preemption again for another"
            )
        self._received = self._saved = None  # signals of an earlier block do not count
        try:
            for number in self._signals:
                self._old[number] = signal.signal(number, self._note)
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Runs between any two instructions: it must not lock, log or allocate much.
        self._received = number
        # An enclosing block of another manager has to save, too.
        outer = getattr(self._old.get(number), "__self__", None)
        if isinstance(outer, Preemption):
            outer._note(number, frame)

    def _restore(self) -> None:
        """Restores the previous handlers, unless the program has replaced ours."""
        for number, handler in self._old.items():
            if signal.getsignal(number) == self._note:
                # None: the handler was not set from Python, so Python cannot restore it.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._old.clear()
