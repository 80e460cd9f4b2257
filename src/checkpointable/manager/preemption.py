"""Saving before the machine is taken away: a signal is noted, and answered at a safe point."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from types import FrameType, TracebackType
from typing import Any

from checkpointable.common.logs import logger

__all__ = ["Preemption", "check_signals"]

_NOT_ANSWERED = {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")}

Handler = Callable[[int, FrameType | None], Any] | int | None


def check_signals(signals: Any) -> tuple[int, ...]:
    """The numbers of the signals that are to be answered.

    Raises:
      ValueError: there is none, or one that no program can answer.
      TypeError: one is no number.
    """
    given = (signals,) if isinstance(signals, int) else signals
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"signals are numbers, as signal.SIGTERM is, not {signals!r}")
    found = []
    for number in given:
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"a signal is a number, as signal.SIGTERM is, not {number!r}")
        if number not in signal.valid_signals() or number in _NOT_ANSWERED:
            raise ValueError(f"no program can answer the signal {number!r}")
        found.append(number)
    if not found:
        raise ValueError("no signal is named: save_on_preemption() is that of SIGTERM")
    return tuple(found)


class Preemption:
    """A context manager within which signals are noted instead of ending the program.

    Made by `CheckpointManager.save_on_preemption`. Of blocks within one another each notes them.

    Args:
      save: saves, and returns the path of what then is the latest checkpoint.
      signals: which are noted.
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
        """Whether a signal has come: the next `safe_point` saves."""
        return self._received is not None

    @property
    def saved(self) -> str | None:
        """The path of the checkpoint that was saved for a signal; None if none was yet."""
        return self._saved

    def safe_point(self) -> bool:
        """To be called where the program's state is whole, as at the end of a step.

        Saves, once, if a signal has come. May be called from any thread: that one saves.

        Returns:
          Whether a signal has come, and the program should end.

        Raises:
          CheckpointIOError: the save failed; the next safe point tries again.
        """
        if self._received is None:
            return False
        with self._lock:
            if self._saved is None:
                self._saved = self._save()
                logger.info("%s: saved before the end", self._saved)
        return True

    def __enter__(self) -> Preemption:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "save_on_preemption is entered in the main thread, since Python sets signal "
                "handlers there; safe_point may be called anywhere"
            )
        if self._old:
            raise RuntimeError("this block is entered already: save_on_preemption makes another")
        self._received = self._saved = None  # a block after another one has signals of its own
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
        # Between two instructions of anything: no lock, no log, no memory to speak of.
        self._received = number
        # A block around this one, of another manager, has something to save as well.
        outer = getattr(self._old.get(number), "__self__", None)
        if isinstance(outer, Preemption):
            outer._note(number, frame)

    def _restore(self) -> None:
        """Puts the old handlers back, where they are still ours to replace."""
        for number, handler in self._old.items():
            if signal.getsignal(number) == self._note:
                # None: it was not set from Python, and cannot be set again from there.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._old.clear()
