"""Making what was written, and the names of files and directories, survive a loss of power."""

from __future__ import annotations

import os
from contextlib import suppress

from checkpointable.storage.local.system import CLOSE_ON_EXEC, fcntl

__all__ = ["sync", "sync_contents", "sync_directory", "sync_names_above"]


def sync(fd: int) -> None:
    """Returns when what was written to an open file would survive a loss of power."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        # On macOS `fsync` ends at the disk's own cache. Not every file system has this.
        with suppress(OSError):
            fcntl.fcntl(fd, full)
            return
    os.fsync(fd)


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
    """Makes the names of a directory, and of those above, durable: once in a process.

    Whoever made them (the program, `mkdir`, a save that was killed) may not have done so.
    """
    path = os.path.realpath(directory)
    found = []
    with suppress(OSError):
        status = os.stat(path)
        while (status.st_dev, status.st_ino) not in _named:
            found.append((status.st_dev, status.st_ino))
            above = os.path.dirname(path)
            parent = os.stat(above)
            if above == path or parent.st_dev != status.st_dev:  # a root
                break
            with suppress(OSError):  # one that may not be opened was not made by us
                sync_directory(above)
            path, status = above, parent
    _named.update(found)
