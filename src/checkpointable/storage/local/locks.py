"""Locks on files and directories, which end with the process that holds them.

A writer holds the lock of its file, so that a clean-up knows that it lives. A directory is locked
while its checkpoints change: by a lock of the system against other processes, and by one of this
process against its own threads, since the system's may be missing.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from checkpointable.storage.local.system import CLOSE_ON_EXEC, REFUSALS, fcntl, refusal
from checkpointable.storage.local.waiting import THREAD, process_holding, said_if_long

__all__ = ["lock", "locked_directory"]

_CAN_LOCK = bool(fcntl)

# The file system cannot lock (some network ones); saving goes on without.
_CANNOT_LOCK = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def lock(fd: int, *, wait: bool) -> bool | None:
    """Takes the exclusive lock of an open file; False if another holds it.

    None: there are no locks here, and nobody can tell.
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
    """Lets go of the lock of an open file, also for a process that was forked meanwhile.

    Closing would not: the other one has the same open file, and with it the lock.
    """
    if _CAN_LOCK:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)


class _Descriptor:
    """An open file of the system; -1 once it is closed."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:  # an interrupt came before: nobody else could have its lock
        self.close()


@contextmanager
def locked_directory(directory: str) -> Iterator[None]:
    """Holds the lock of a directory; waits for whoever holds it, and says so if it takes long."""
    held = _Descriptor(-1)
    own = _thread_lock(directory)
    with ExitStack() as word:
        if own.locked():
            word.enter_context(said_if_long(directory, lambda: THREAD))
        with own:
            word.close()
            try:
                if _CAN_LOCK:
                    held.fd = os.open(directory, os.O_RDONLY | CLOSE_ON_EXEC)
                    _locked.add(held)
                    if lock(held.fd, wait=False) is False:
                        with said_if_long(directory, partial(process_holding, held.fd)):
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


# Directories that are locked: what a forked process must let go of, since it would go on holding
# locks that its parent has given up.
_locked: weakref.WeakSet[_Descriptor] = weakref.WeakSet()

# For systems without flock, whose threads would otherwise not exclude one another.
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
    """A thread of the parent may hold these locks, and is not there to let go of them."""
    global _thread_locks_lock  # noqa: PLW0603 - the process's
    _thread_locks_lock = threading.Lock()
    _thread_locks.clear()
    for held in list(_locked):
        with suppress(OSError):
            held.close()
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
