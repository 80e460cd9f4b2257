"""Files out of the page cache, so that the next read comes from the disk."""

from __future__ import annotations

import os
from pathlib import Path

POSSIBLE = hasattr(os, "posix_fadvise")


def drop(directory: Path) -> None:
    """Asks the system to forget the contents of all files below `directory`."""
    os.sync()  # what is not on the disk yet cannot be forgotten
    for path in directory.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
