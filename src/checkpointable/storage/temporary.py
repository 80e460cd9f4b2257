"""Writes files under temporary names, so that they appear complete or not at all.

A file is written under a temporary name in the same directory and then renamed. The names have the
form `.NAME.tmp-PID-RANDOM`, which readers ignore. A crash leaves them behind; the next writer of
the same name removes those whose writer no longer exists.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from checkpointable.errors import CheckpointError
from checkpointable.storage.interface import ReadableFile, Storage, WritableFile

if TYPE_CHECKING:
    from checkpointable.storage.interface import Buffer

__all__ = [
    "DURABILITIES",
    "check_durability",
    "create_temporary",
    "finish_writing",
    "link_or_copy",
    "remove_stale",
    "replace_file",
]

DURABILITIES = ("fsync", "flush")

_PATTERN = re.compile(r"\.(?P<name>.+)\.tmp-[0-9]+-[0-9a-f]{8}", re.DOTALL)
_NAME_BYTES_MAX = 255  # of one name, in the common file systems
_ATTEMPTS = 16
_COPIED_SIZE = 4 * 2**20  # bytes per read


def check_durability(durability: str) -> str:
    """Returns `durability`.

    Raises:
      ValueError: It is neither "fsync" nor "flush".
    """
    if durability not in DURABILITIES:
        raise ValueError(f"durability is {durability!r}; it must be one of {DURABILITIES}")
    return durability


def temporary_path(path: str) -> str:
    """Returns a new temporary name in the directory of `path`."""
    directory, name = os.path.split(path)
    ending = f".tmp-{os.getpid()}-{os.urandom(4).hex()}"
    room = _NAME_BYTES_MAX - len(ending) - 1
    # A name near the limit is cut; it is not cleaned up after a crash.
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    return os.path.join(directory, f".{name}{ending}")


def temporary_of(name: str) -> str | None:
    """Returns the final name for a temporary name; None for any other name."""
    match = _PATTERN.fullmatch(name)
    return match["name"] if match else None


def create_temporary(storage: Storage, path: str, size: int) -> WritableFile:
    """Creates a file of `size` zero bytes under a temporary name for `path`."""
    for attempt in range(_ATTEMPTS):
        candidate = temporary_path(path)
        if attempt + 1 == _ATTEMPTS or not storage.exists(candidate):
            return storage.create(candidate, size)
    raise AssertionError("the last attempt returns or raises")


def remove_stale(storage: Storage, directory: str, belongs: Callable[[str], bool]) -> None:
    """Removes temporary files whose writers no longer exist.

    Files that a live writer has open stay, and so do files that cannot be removed. Never raises.

    Args:
      storage: Where the files are.
      directory: Their directory.
      belongs: Whether the temporary files for a final name may be removed by the caller.
    """
    try:
        for name in storage.list(directory or os.curdir):
            final = temporary_of(name)
            if final is not None and belongs(final):
                storage.delete_if_unused(os.path.join(directory, name))
    except CheckpointError:
        return


def finish_writing(file: WritableFile, *, sync: bool) -> None:
    """Waits until the system has accepted the written data.

    Args:
      file: The file that was written.
      sync: Wait until its contents would survive a power failure.
    """
    if sync:
        file.sync()
    else:
        file.flush()


def replace_file(
    storage: Storage,
    path: str,
    data: bytes | Sequence[Buffer],
    durability: str = "fsync",
    progress: Callable[[int], object] | None = None,
) -> None:
    """Replaces the contents of a file atomically: readers see the old or the new ones.

    Args:
      storage: The storage to write to.
      path: The path of the file.
      data: The new contents, or a sequence of their parts.
      durability: "fsync" returns when the new contents would survive a power failure; "flush"
        leaves that to the operating system.
      progress: Called with the number of bytes written so far, after each part.
    """
    check_durability(durability)
    directory, name = os.path.split(path)
    remove_stale(storage, directory, lambda final: final == name)
    parts = [data] if isinstance(data, bytes) else data
    file = create_temporary(storage, path, sum(map(len, parts)))
    try:
        position = 0
        for part in parts:
            file.write_at(part, position)
            position += len(part)
            if progress is not None:
                progress(position)
        finish_writing(file, sync=durability == "fsync")
        storage.rename(file.path, path)
    except BaseException:
        file.abort()
        raise
    file.close()
    if durability == "fsync":
        storage.sync_directory(directory or os.curdir)


def link_or_copy(
    storage: Storage,
    source: ReadableFile,
    path: str,
    *,
    sync: bool,
    progress: Callable[[int], object] | None = None,
) -> bool:
    """Gives an open file a second name, or copies it where that is not possible.

    An existing file of that name is replaced.

    Args:
      storage: Where the file is.
      source: The open file.
      path: The second name.
      sync: Return when the contents would survive a power failure. (The name does once its
        directory is synced.)
      progress: Called with the number of bytes copied so far.

    Returns:
      Whether the two names are the same file.
    """
    if storage.exists(path):
        storage.delete(path)
    if storage.link(source.path, path, sync=sync):
        if storage.identity(path) == source.identity:
            if progress is not None:
                progress(source.size)
            return True
        storage.delete(path)  # the name of the source belongs to another file by now
    file = create_temporary(storage, path, source.size)
    try:
        # Not mapped: if the disk fails or the file is truncated, a map would end the process.
        buffer = memoryview(bytearray(min(source.size, _COPIED_SIZE)))
        for offset in range(0, source.size, _COPIED_SIZE):
            part = buffer[: source.size - offset]
            source.read_into(offset, part)
            file.write_at(part, offset)
            if progress is not None:
                progress(offset + len(part))
        finish_writing(file, sync=sync)
        storage.rename(file.path, path)
    except BaseException:
        file.abort()
        raise
    file.close()
    return False
