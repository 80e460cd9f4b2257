"""What a file system in memory consists of, and what changes make of it, lost ones too."""

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

_SECTOR = 512  # what a disk writes whole or not at all
_numbers = itertools.count(1)


def next_number() -> int:
    """A number higher than all before: an inode's, a time."""
    return next(_numbers)


class File:
    """An inode.

    Attributes:
      number: which one.
      contents, durable: the bytes as programs see them, and as the disk has them for sure.
      modified: when, as a number that grows.
      writer: who has it open for writing; None if nobody has.
    """

    def __init__(self) -> None:
        self.number = next_number()
        self.contents = bytearray()
        self.durable = bytearray()
        self.modified = self.number
        self.writer: object | None = None


class Change(NamedTuple):
    """Something that is not durable yet.

    Attributes:
      kind: "write", "size", "name", "remove", "rename", "directory".
      path: the name concerned; of a rename the new one; of a write the name at creation.
      source: of a rename, the old name.
      offset, data: of a write.
    """

    kind: str
    path: str
    file: File | None = None
    source: str = ""
    offset: int = 0
    data: bytes = b""

    def directories(self) -> set[str]:
        """Those whose sync makes it durable."""
        if self.kind in {"write", "size"}:
            return set()
        return {os.path.dirname(path) for path in (self.path, self.source) if path}


def parents(path: str) -> list[str]:
    """The directories above an absolute path, the nearest first."""
    found = []
    while (above := os.path.dirname(path)) != path:
        found.append(above)
        path = above
    return found


def apply_contents(change: Change, contents: bytearray, *, torn: bool = False) -> None:
    """Applies a "write" or a "size" to a file's bytes; torn, only every other sector of it."""
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
    """Applies a change of names; `file` is the one concerned, or its copy."""
    if change.kind == "directory":
        directories.add(change.path)
    elif change.kind == "remove":
        names.pop(change.path, None)
    else:
        assert file is not None
        names[change.path] = file
        # The old name may be another file's by now: what came between may be lost.
        if change.kind == "rename" and names.get(change.source) is file:
            del names[change.source]


def after_cut(
    files: Mapping[str, File],
    directories: Iterable[str],
    unsynced: Iterable[Change],
    fates: Mapping[int, str],
) -> tuple[dict[str, File], set[str]]:
    """The files, as copies, and the directories that a cut of the power leaves.

    Args:
      files, directories: what is durable.
      unsynced: what happened since.
      fates: by its number there, whether a change is `LOST` or `TORN`.
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
    # What lies in a directory whose own name is lost is lost with it.
    left = {path for path in known if set(parents(path)) <= known}
    return {p: file for p, file in names.items() if os.path.dirname(p) in left}, left
