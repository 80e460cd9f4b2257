"""Finds everything that is damaged in a bundle whose index is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from checkpointable.bundle.checksum import load_crc32c, mask
from checkpointable.bundle.parallel import PIECE_SIZE
from checkpointable.bundle.reading.checks import (
    Stored,
    check_values,
    differs,
    in_file_order,
    stored_values,
)
from checkpointable.bundle.reading.data import Files
from checkpointable.storage import ReadableFile, Storage

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Damage", "damage_of_unused", "find_damage", "structural_damage"]

# A list for people; without a bound, one for every few bytes of a file made to fill memory.
_DAMAGES_MAX = 10_000


class Damage(NamedTuple):
    """Something that is not as it was written.

    Attributes:
      path: of the file.
      key: of the value, or None where no value is touched.
      offset: in the file, in bytes.
      what: what is wrong.
    """

    path: str
    key: str | None
    offset: int
    what: str


def find_damage(
    files: Files, storage: Storage, progress: Callable[[int, int, str], None] | None = None
) -> list[Damage]:
    """Everything that is damaged, but no more than 10,000 and one that counts the others."""
    found = _all_damage(files, storage, progress)
    damages = list(islice(found, _DAMAGES_MAX))
    more = sum(1 for _ in found)
    if more:
        damages.append(Damage(files.index.path, None, 0, f"{more} more damages were found"))
    return damages


def _all_damage(
    files: Files, storage: Storage, progress: Callable[[int, int, str], None] | None
) -> Iterator[Damage]:
    index = files.index
    for shard, path in files.paths.items():
        if shard not in files.data:
            yield Damage(path, None, 0, "the data file is missing")
    yield from structural_damage(files, storage)
    names = index.row_names()
    present, lost = _present(files)
    for stored in stored_values(files, lost):
        gone = stored.shard not in files.data
        what = "its data file is missing" if gone else "the file ends before the value"
        yield Damage(files.paths[stored.shard], names[stored.row], stored.offset, what)
    done, total = 0, int(index.columns.size[present].sum())

    def advance(stored: Stored) -> None:
        nonlocal done
        done += stored.size
        if progress is not None:
            progress(done, total, names[stored.row])

    for stored, what, offset in check_values(files, present, progress=advance):
        path = files.paths.get(stored.shard, index.path)
        yield Damage(path, names[stored.row], offset, what)
    for row in sorted(index.partitioned):
        untiled = index.untiled(names[row], row)
        if untiled:
            yield Damage(index.path, names[row], int(index.columns.start[row]), untiled)


def _present(files: Files) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The rows whose bytes are there, and those whose bytes are not, in file order."""
    columns = files.index.columns
    there = columns.size == 0
    for shard, file in files.data.items():
        there |= (columns.shard == shard) & (columns.offset + columns.size <= file.size)
    # A partitioned value has no bytes of its own to verify.
    own = np.ones(len(there), np.bool_)
    own[list(files.index.partitioned)] = False
    return (
        in_file_order(files, np.flatnonzero(there & own)),
        in_file_order(files, np.flatnonzero(~there)),
    )


def structural_damage(files: Files, storage: Storage) -> Iterator[Damage]:
    """What is wrong with the data files apart from the values' own bytes.

    A data file ends where its last value ends, and what lies between values is zero, or has
    a checksum in the header. (A data file that is not there, or a value past its end, is found
    when values are read.)
    """
    for shard, file in files.data.items():
        start, end = _extents(files, shard)
        if file.size != (wanted := int(end[-1])):
            kind = "longer" if file.size > wanted else "shorter"
            yield Damage(
                file.path,
                None,
                min(file.size, wanted),
                f"the file has {file.size} bytes, {kind} than the {wanted} that the index "
                "says: it belongs to another checkpoint, or was changed",
            )
        gaps_start = np.concatenate(([0], end[:-1]))
        for row in np.flatnonzero(gaps_start < start).tolist():
            gap = int(gaps_start[row]), min(int(start[row]), file.size)
            for offset, piece in _pieces(file, *gap):
                used = np.flatnonzero(np.frombuffer(piece, np.uint8))
                if len(used):
                    at = offset + int(used[0])
                    yield Damage(file.path, None, at, "the gap between values is not zero")
                    break
        yield from _unreferenced_damage(files, shard)
    yield from damage_of_unused(files, storage)


def damage_of_unused(files: Files, storage: Storage) -> Iterator[Damage]:
    """Data files of the bundle that hold no value, and are not empty."""
    for path in files.unused(storage):
        identity = storage.identity(path)
        if identity is not None and identity.size:
            yield Damage(
                path, None, 0, f"the file has {identity.size} bytes, but no value is in it"
            )


def _unreferenced_damage(files: Files, shard: int) -> Iterator[Damage]:
    file = files.data[shard]
    for gap in files.index.header.unreferenced:
        if gap.shard == shard and gap.offset + gap.size <= file.size:
            crc32c = load_crc32c()
            crc = 0
            for _, piece in _pieces(file, gap.offset, gap.offset + gap.size):
                crc = crc32c(piece, crc)
            found = mask(crc)
            if found != gap.crc:
                yield Damage(file.path, None, gap.offset, differs(found, gap.crc))


def _pieces(file: ReadableFile, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of a part of a file, some at a time."""
    for offset in range(start, stop, PIECE_SIZE):
        yield offset, file.read(offset, min(PIECE_SIZE, stop - offset))


def _extents(files: Files, shard: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Start and end of all that is known of a data file, in order."""
    columns = files.index.columns
    rows = np.flatnonzero((columns.shard == shard) & (columns.size > 0))
    gaps = [gap for gap in files.index.header.unreferenced if gap.shard == shard]
    start = np.append(columns.offset[rows], np.array([g.offset for g in gaps], np.int64))
    size = np.append(columns.size[rows], np.array([g.size for g in gaps], np.int64))
    order = np.argsort(start, kind="stable")
    return start[order], (start + size)[order]
