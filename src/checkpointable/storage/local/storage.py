"""LocalStorage: the file system of this machine."""

from __future__ import annotations

import errno
import os
import time
from contextlib import AbstractContextManager

from checkpointable.storage.interface import FileIdentity, ReadableFile, Storage, WritableFile
from checkpointable.storage.local.locks import lock, locked_directory
from checkpointable.storage.local.paths import local_path, refuse_url
from checkpointable.storage.local.reading import LocalReadableFile
from checkpointable.storage.local.syncing import sync_contents, sync_directory, sync_names_above
from checkpointable.storage.local.system import (
    BINARY,
    CLOSE_ON_EXEC,
    NON_BLOCKING,
    REFUSALS,
    UNSUPPORTED,
    identity_of,
    refusal,
)
from checkpointable.storage.local.writing import LocalWritableFile

__all__ = ["LocalStorage"]

# Without locks, a temporary file is considered abandoned at this age.
_STALE_AGE_SECONDS = 24 * 3600.0

# The system or the file system has no hard links, or not between these directories or for this
# file; or the file has been deleted.
_CANNOT_LINK = {
    *(errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOENT),
    *(errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL),
}

# A file cannot have such a path.
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


class LocalStorage(Storage):
    """The file system of this machine. URLs are errors: object stores are not supported yet."""

    def path_of(self, given: str) -> str:
        return local_path(given)

    def create(self, path: str, size: int) -> WritableFile:
        refuse_url(path)
        return LocalWritableFile(path, size)

    def open(self, path: str) -> ReadableFile:
        refuse_url(path)
        return LocalReadableFile(path)

    def identity(self, path: str) -> FileIdentity | None:
        refuse_url(path)
        try:
            return identity_of(os.stat(path))
        except ValueError:
            return None
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise refusal(error, "get the status of the file", path) from error

    def rename(self, source: str, destination: str) -> None:
        try:
            os.replace(source, destination)
        except REFUSALS as error:
            raise refusal(error, f"rename {os.path.basename(source)} to it", destination) from error

    def link(self, source: str, destination: str, *, sync: bool) -> bool:
        # The target of a symbolic link: a relative link would be broken in another directory.
        path = os.path.realpath(source)
        try:
            os.link(path, destination)
            if sync:
                sync_contents(path)
        except OSError as error:
            if error.errno in _CANNOT_LINK:
                return False
            raise refusal(error, f"link {os.path.basename(source)} to it", destination) from error
        return True

    def sync_directory(self, directory: str) -> None:
        try:
            sync_directory(directory)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise refusal(error, "make the directory durable", directory) from error

    def list(self, directory: str) -> list[str]:
        refuse_url(directory)
        try:
            return sorted(os.listdir(directory))
        except REFUSALS as error:
            raise refusal(error, "list the directory", directory) from error

    def delete(self, path: str) -> None:
        try:
            os.unlink(path)
        except REFUSALS as error:
            raise refusal(error, "delete the file", path) from error

    def delete_if_unused(self, path: str) -> bool:
        try:
            fd = os.open(path, os.O_RDWR | BINARY | CLOSE_ON_EXEC | NON_BLOCKING)
            try:
                free = lock(fd, wait=False)
                if free is None:
                    free = time.time() - os.fstat(fd).st_mtime >= _STALE_AGE_SECONDS
                if not free:
                    return False
                os.unlink(path)
            finally:
                os.close(fd)
        except FileNotFoundError:
            return True
        except REFUSALS:
            return False  # the file belongs to someone else
        return True

    def make_directories(self, directory: str, *, sync: bool = False) -> None:
        refuse_url(directory)
        made = directory
        parents = []  # of directories that do not exist yet, whose names must be synced
        while sync and made and not os.path.isdir(made):
            above = os.path.dirname(made.rstrip(os.sep)) or os.curdir
            if above == made:
                break
            parents.append(above)
            made = above
        try:
            os.makedirs(directory, exist_ok=True)
        except REFUSALS as error:
            raise refusal(error, "make the directory", directory) from error
        for above in parents:
            self.sync_directory(above)
        if sync:
            sync_names_above(directory)

    def is_directory(self, path: str) -> bool:
        refuse_url(path)
        return os.path.isdir(path)

    def lock_directory(self, directory: str) -> AbstractContextManager[None]:
        return locked_directory(directory)
