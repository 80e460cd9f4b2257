"""The data model of `MemoryStorage`: files, changes, and the effect of losing some of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = [
    "LOST",
    "TORN",
    "Change",
    "File",
    "after_cut",
    "apply_contents",
    "apply_name",
    "next_number",
    "parents",
]

LOST = "lost"
TORN = "torn"

_SECTOR = 512  # bytes that a disk writes atomically
_numbers = itertools.count(1)


def next_number() -> int:
    """Returns a number higher than all before, for inodes and times."""
    return next(_numbers)


class File:
    """An inode.

    Attributes:
      number: the inode number.
      contents: the bytes that programs see.
      durable: the bytes that are certain to be on the disk.
      modified: time of the last change, as an increasing number.
      writer: the open writable file; None if there is none.
    """

    def __init__(self) -> None:
        self.number = next_number()
        self.contents = bytearray()
        self.durable = bytearray()
        self.modified = self.number
        self.writer: object | None = None


class Change(NamedTuple):
    """A change that is not durable yet.

    Attributes:
      kind: "write", "size", "name", "remove", "rename" or "directory".
      path: the name that changes; for a rename the new name, for a write the name at creation.
      file: the file that changes; None for directories and removals.
      source: for a rename, the old name.
      offset, data: for a write, the position in bytes and the contents.
    """

    kind: str
    path: str
    file: File | None = None
    source: str = ""
    offset: int = 0
    data: bytes = b""

    def directories(self) -> set[str]:
        """Returns the directories whose sync makes the change durable."""
        if self.kind in {"write", "size"}:
            return set()
        return {os.path.dirname(path) for path in (self.path, self.source) if path}


def parents(path: str) -> list[str]:
    """Returns the directories above an absolute path, nearest first."""
    above_path = []
    while (above := os.path.dirname(path)) != path:
        above_path.append(above)
        path = above
    return above_path


def apply_contents(change: Change, contents: bytearray, *, torn: bool = False) -> None:
    """Applies a "write" or "size" change to a file's bytes; if torn, only every other sector."""
    if change.kind == "size":
        contents.extend(bytes(max(0, change.offset - len(contents))))
        return
    step = 2 * _SECTOR if torn else max(1, len(change.data))
    for start in range(0, len(change.data), step):
        part = change.data[start : start + (_SECTOR if torn else step)]
        at = change.offset + start
        contents.extend(bytes(max(0, at + len(part) - len(contents))))
        contents[at : at + len(part)] = part


def apply_name(
    change: Change, file: File | None, names: dict[str, File], directories: set[str]
) -> None:
    """Applies a change of names to `names` and `directories`. `file` is the file or its copy."""
    if change.kind == "directory":
        directories.add(change.path)
    elif change.kind == "remove":
        names.pop(change.path, None)
    else:
        assert file is not None
        names[change.path] = file
        # The old name may belong to another file if a change in between was lost.
        if change.kind == "rename" and names.get(change.source) is file:
            del names[change.source]


def after_cut(
    files: Mapping[str, File],
    directories: Iterable[str],
    unsynced: Iterable[Change],
    fates: Mapping[int, str],
) -> tuple[dict[str, File], set[str]]:
    """Returns the files (as copies) and directories that remain after a power cut.

    Args:
      files, directories: the durable state.
      unsynced: the changes since then, oldest first.
      fates: index into `unsynced` -> `LOST` or `TORN`.
    """
    copies: dict[int, File] = {}

    def copy(file: File) -> File:
        made = copies.get(file.number)
        if made is None:
            made = copies[file.number] = File()
            made.contents = bytearray(file.durable)
            made.modified = file.modified
        return made

    names = {path: copy(file) for path, file in files.items()}
    known = set(directories)
    for number, change in enumerate(unsynced):
        fate = fates.get(number)
        if fate == LOST:
            continue
        if change.file is None:
            apply_name(change, None, names, known)
        elif change.kind in {"write", "size"}:
            apply_contents(change, copy(change.file).contents, torn=fate == TORN)
        else:
            apply_name(change, copy(change.file), names, known)
    # Files in a directory whose name was lost are lost, too.
    left = {path for path in known if set(parents(path)) <= known}
    return {p: file for p, file in names.items() if os.path.dirname(p) in left}, left
