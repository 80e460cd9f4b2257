"""Features of the operating system, and the translation of its errors.

Where a feature is missing, its name has a neutral value: `fcntl` is None, a flag is 0.
"""

from __future__ import annotations

import errno
import os

from checkpointable.errors import CheckpointError, CheckpointIOError, CheckpointNotFoundError
from checkpointable.storage.interface import FileIdentity

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "BINARY",
    "CLOSE_ON_EXEC",
    "NON_BLOCKING",
    "REFUSALS",
    "UNSUPPORTED",
    "fcntl",
    "identity_of",
    "refusal",
]

BINARY = getattr(os, "O_BINARY", 0)
CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)

# The errors of system calls; ValueError: a path contains a NUL.
REFUSALS = (OSError, ValueError)

# The file system lacks an operation: it cannot reserve space, or sync a directory.
UNSUPPORTED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV}


def refusal(error: OSError | ValueError, doing: str, path: str) -> CheckpointError:
    """Translates an error of the operating system.

    Args:
      error: The error.
      doing: The failed operation, as a text that follows "cannot".
      path: The path of the file.
    """
    if not isinstance(error, OSError):
        error = OSError(errno.EINVAL, str(error))
    if isinstance(error, FileNotFoundError):
        return CheckpointNotFoundError(f"cannot {doing}: no such file or directory", path=path)
    return CheckpointIOError.from_os_error(error, doing, path=path)


def identity_of(status: os.stat_result) -> FileIdentity:
    """Returns the identity of a file from its status."""
    return FileIdentity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
