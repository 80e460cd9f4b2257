"""Temporary names, and the replacement of small files in one step.

A file becomes visible under its name complete or not at all: it is written under a
temporary name in the same directory and renamed. The names are `.NAME.tmp-PID-RANDOM`,
which no reader takes for a part of a checkpoint. A crash leaves them behind; the next
writer of the same name removes those whose writer is gone.
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
_COPIED_SIZE = 4 * 2**20  # bytes at a time


def check_durability(durability: str) -> str:
    """Returns `durability`.

    Raises:
      ValueError: it is neither "fsync" nor "flush".
    """
    if durability not in DURABILITIES:
        raise ValueError(f"durability is {durability!r}; it must be one of {DURABILITIES}")
    return durability


def temporary_path(path: str) -> str:
    """A fresh temporary name beside `path`."""
    directory, name = os.path.split(path)
    ending = f".tmp-{os.getpid()}-{os.urandom(4).hex()}"
    room = _NAME_BYTES_MAX - len(ending) - 1
    # Cut only where a name is near the limit; such a one is not cleaned up after a crash.
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    return os.path.join(directory, f".{name}{ending}")


def temporary_of(name: str) -> str | None:
    """The final name that a temporary name stands for; None for any other name."""
    match = _PATTERN.fullmatch(name)
    return match["name"] if match else None


def create_temporary(storage: Storage, path: str, size: int) -> WritableFile:
    """A new file under a temporary name beside `path`, to be renamed to it."""
    for attempt in range(_ATTEMPTS):
        candidate = temporary_path(path)
        if attempt + 1 == _ATTEMPTS or not storage.exists(candidate):
            return storage.create(candidate, size)
    raise AssertionError("the last attempt returns or raises")


def remove_stale(storage: Storage, directory: str, belongs: Callable[[str], bool]) -> None:
    """Removes temporary files whose writers are gone.

    Args:
      belongs: of a final name, whether its temporaries are the caller's to remove.

    Never removes one that a live writer has open, and never fails: what cannot be removed
    stays.
    """
    try:
        for name in storage.list(directory or os.curdir):
            final = temporary_of(name)
            if final is not None and belongs(final):
                storage.delete_if_unused(os.path.join(directory, name))
    except CheckpointError:
        return


def finish_writing(file: WritableFile, *, sync: bool) -> None:
    """Waits until the system can no longer refuse what was written.

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
    """Gives a file new contents in one step: readers see the old or the new ones.

    Args:
      data: the contents, or their parts one after another.
      durability: "fsync" returns when the new contents would survive a loss of power;
        "flush" leaves that to the operating system.
      progress: called with the bytes that are written, part by part.
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
    """Gives an open file a further name, or a copy of it where it cannot have one.

    The name appears with the whole contents, and what had it before is gone.

    Args:
      sync: the contents would survive a loss of power when this returns; the name does once
        its directory is synced.
      progress: called with how many of its bytes are there, part by part of a copy.

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
        storage.delete(path)  # since it was opened, its name has become another file's
    file = create_temporary(storage, path, source.size)
    try:
        # Not mapped: where the disk fails, or the file is cut short, that would end the process.
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
