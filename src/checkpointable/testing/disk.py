"""What a file system in memory consists of, and how a change of it is applied."""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple

__all__ = [
    "LOST",
    "TORN",
    "Change",
    "File",
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
