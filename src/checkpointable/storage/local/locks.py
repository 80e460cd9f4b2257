"""Locks on files and directories, which end with the process that holds them.

A writer holds the lock of its temporary file, so that a clean-up does not remove the file. The lock
of a directory is held while its checkpoints change. It consists of a system lock, which excludes
other processes, and a lock of this process, which excludes its other threads: not all systems have
the first. Waiting for a long time is logged.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from checkpointable.common.logs import logger
from checkpointable.storage.local.system import CLOSE_ON_EXEC, REFUSALS, fcntl, refusal

__all__ = ["lock", "locked_directory"]

_CAN_LOCK = bool(fcntl)

# Some file systems, mainly on networks, have no locks; saves continue without them.
_CANNOT_LOCK = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}

SECONDS_BEFORE_WARNING = 10.0


def lock(fd: int, *, wait: bool) -> bool | None:
    """Takes the exclusive lock of an open file.

    Returns:
      True if the lock was taken, False if another process holds it (never if `wait` is True),
      None if files cannot be locked here.
    """
    if not _CAN_LOCK:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        return None
    return True


def _unlock(fd: int) -> None:
    """Releases the lock of an open file.

    Closing the file is not enough: a process that was forked meanwhile shares the open file and
    its lock.
    """
    if _CAN_LOCK:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)


class _Descriptor:
    """A file descriptor; -1 once it is closed."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:  # an interrupt came before `close`
        self.close()


@contextmanager
def locked_directory(directory: str) -> Iterator[None]:
    """Holds the lock of a directory within the block; waits for it as long as necessary.

    Raises:
      CheckpointIOError: The directory cannot be opened or locked.
    """
    held = _Descriptor(-1)
    thread_lock = _thread_lock(directory)
    with ExitStack() as waiting:
        if thread_lock.locked():
            waiting.enter_context(_warning_if_long(directory, lambda: _THREAD))
        with thread_lock:
            waiting.close()
            try:
                if _CAN_LOCK:
                    held.fd = os.open(directory, os.O_RDONLY | CLOSE_ON_EXEC)
                    _locked.add(held)
                    if lock(held.fd, wait=False) is False:
                        with _warning_if_long(directory, partial(_process_holding, held.fd)):
                            lock(held.fd, wait=True)
            except REFUSALS as error:
                _locked.discard(held)
                held.close()
                raise refusal(error, "lock the directory", directory) from error
            try:
                yield
            finally:
                _locked.discard(held)
                if held.fd >= 0:
                    _unlock(held.fd)
                held.close()


# Directories that this process has locked. A forked process closes them: it would otherwise keep
# locks that its parent has released.
_locked: weakref.WeakSet[_Descriptor] = weakref.WeakSet()

# By real path. Without flock, threads would otherwise not exclude each other.
_thread_locks: dict[str, threading.Lock] = {}
_thread_locks_lock = threading.Lock()


def _thread_lock(directory: str) -> threading.Lock:
    try:
        path = os.path.realpath(directory)
    except ValueError as error:
        raise refusal(error, "lock the directory", directory) from error
    with _thread_locks_lock:
        return _thread_locks.setdefault(path, threading.Lock())


def _after_fork() -> None:
    """Replaces the locks: threads of the parent may hold them, and do not exist here."""
    global _thread_locks_lock  # noqa: PLW0603 - the process's
    _thread_locks_lock = threading.Lock()
    _thread_locks.clear()
    for held in list(_locked):
        with suppress(OSError):
            held.close()
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# -- waiting -------------------------------------------------------------------------------

_THREAD = "another thread of this process"
_UNKNOWN_PROCESS = "another process, maybe of another machine"


@contextmanager
def _warning_if_long(directory: str, holder: Callable[[], str]) -> Iterator[None]:
    """Logs a warning if the block, which waits for the lock of a directory, takes long.

    Args:
      directory: The directory.
      holder: Returns a description of the holder of the lock; called for the warning only.
    """

    def warn() -> None:
        logger.warning(
            "%s: waiting for %s, which saves or deletes here and holds the lock of the directory. "
            "This continues when that has finished or ended; nothing is lost meanwhile",
            directory or os.curdir,
            holder(),
        )

    timer = threading.Timer(SECONDS_BEFORE_WARNING, warn)
    timer.daemon = True
    with suppress(RuntimeError):  # no more threads can be started: there is no warning
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _process_holding(fd: int) -> str:
    """Describes the process that holds the lock (`flock`) of an open file, where this is known."""
    with suppress(OSError, ValueError):  # only Linux has /proc/locks
        status = os.fstat(fd)
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        file_id = f"{device}:{status.st_ino}"
        with open("/proc/locks", encoding="ascii") as locks:
            for line in locks:
                words = line.split()
                if words[1:2] == ["FLOCK"] and words[5:6] == [file_id]:
                    return f"process {int(words[4])}{_name_of(words[4])}"
    return _UNKNOWN_PROCESS


def _name_of(process: str) -> str:
    with suppress(OSError, UnicodeError), open(f"/proc/{process}/comm", encoding="utf-8") as file:
        return f" ({file.read().strip()!a})"
    return ""
