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
        # On macOS `fsync` ends at the disk's own cache. Not every file system has this.
        with suppress(OSError):
            fcntl.fcntl(fd, full)
            return
    os.fsync(fd)


# From <linux/fs.h>: begin to write what is not being written; wait for nothing.
_SYNC_FILE_RANGE_WRITE = 2


def begin_sync(fd: int, offset: int, size: int) -> None:
    """Lets the system begin to write a part of a file to disk, where it can be told to.

    What the disk refuses is not lost: the `fsync` that follows says it.
    """
    function = _sync_file_range()
    if function is not None:
        function(fd, offset, size, _SYNC_FILE_RANGE_WRITE)


@lru_cache(maxsize=1)
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """The function of that name in Linux's C library (sync_file_range(2)); `os` has none."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes  # takes some milliseconds, and is for large files

    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):  # a C library without it
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    function.restype = ctypes.c_int
    typed: Callable[[int, int, int, int], int] = function
    return typed


def sync_contents(path: str) -> None:
    """As `sync`, of a file that is not open."""
    fd = os.open(path, (os.O_RDWR if os.name == "nt" else os.O_RDONLY) | CLOSE_ON_EXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)


def sync_directory(directory: str) -> None:
    """Makes durable which files a directory has."""
    if os.name == "nt":  # directories cannot be opened there, and need not be
        return
    fd = os.open(directory, os.O_RDONLY | CLOSE_ON_EXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)


# Directories, by (device, inode), whose own names are known to be durable.
_named: set[tuple[int, int]] = set()


def sync_names_above(directory: str) -> None:
    """Makes the names of a directory and its parents durable, once per process.

    The program, `mkdir` or a killed save that created them may not have done so.
    """
    path = os.path.realpath(directory)
    new = []
    with suppress(OSError):
        status = os.stat(path)
        while (status.st_dev, status.st_ino) not in _named:
            new.append((status.st_dev, status.st_ino))
            above = os.path.dirname(path)
            parent = os.stat(above)
            if above == path or parent.st_dev != status.st_dev:  # a root
                break
            with suppress(OSError):  # one that may not be opened was not made by us
                sync_directory(above)
            path, status = above, parent
    _named.update(new)
