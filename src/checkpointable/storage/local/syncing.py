"""Makes file contents, and the names of files and directories, durable."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

from checkpointable.storage.local.system import CLOSE_ON_EXEC, fcntl

__all__ = ["begin_sync", "sync", "sync_contents", "sync_directory", "sync_names_above"]


def sync(fd: int) -> None:
    """Returns when the data written to an open file would survive a power failure."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        # On macOS, `fsync` only reaches the cache of the disk. Not every file system supports this
        # call.
        with suppress(OSError):
            fcntl.fcntl(fd, full)
            return
    os.fsync(fd)


# From <linux/fs.h>: start to write dirty pages, and return without waiting.
_SYNC_FILE_RANGE_WRITE = 2


def begin_sync(fd: int, offset: int, size: int) -> None:
    """Asks the system to start writing a range of a file to disk, if it supports that.

    Errors of the disk are not lost: the `fsync` that follows reports them.
    """
    function = _sync_file_range()
    if function is not None:
        function(fd, offset, size, _SYNC_FILE_RANGE_WRITE)


@lru_cache(maxsize=1)
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """Returns sync_file_range(2) of the C library on Linux, else None; `os` does not have it."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes  # slow to import, and needed only for large files

    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):  # the C library lacks it
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    function.restype = ctypes.c_int
    typed: Callable[[int, int, int, int], int] = function
    return typed


def sync_contents(path: str) -> None:
    """Makes the contents of a file that is not open durable; see `sync`."""
    fd = os.open(path, (os.O_RDWR if os.name == "nt" else os.O_RDONLY) | CLOSE_ON_EXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)


def sync_directory(directory: str) -> None:
    """Makes the names in a directory durable."""
    if os.name == "nt":  # directories cannot be opened there, and need no sync
        return
    fd = os.open(directory, os.O_RDONLY | CLOSE_ON_EXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)


# The (device, inode) of directories whose names in their parents are known to be durable.
_named: set[tuple[int, int]] = set()


def sync_names_above(directory: str) -> None:
    """Makes the names of a directory and its parents durable, once per process.

    Whatever created them (the program, `mkdir`, a killed save) may not have synced them.
    """
    path = os.path.realpath(directory)
    new = []
    with suppress(OSError):
        status = os.stat(path)
        while (status.st_dev, status.st_ino) not in _named:
            new.append((status.st_dev, status.st_ino))
            above = os.path.dirname(path)
            parent = os.stat(above)
            if above == path or parent.st_dev != status.st_dev:  # the root of a file system
                break
            with suppress(OSError):  # a parent that cannot be opened was not created by a save
                sync_directory(above)
            path, status = above, parent
    _named.update(new)
