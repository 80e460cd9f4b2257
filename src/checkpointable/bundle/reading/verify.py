"""Finds all damage in a checkpoint whose index is intact."""

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

# The list is for people. Without a limit, a malicious file could fill the memory with it.
_DAMAGES_MAX = 10_000


class Damage(NamedTuple):
    """Damage: a difference from the contents that were written.

    Attributes:
      path: The path of the file.
      key: The key of the value; None if no value is affected.
      offset: The offset in the file, in bytes.
      what: A description.
    """

    path: str
    key: str | None
    offset: int
    what: str


def find_damage(
    files: Files, storage: Storage, progress: Callable[[int, int, str], None] | None = None
) -> list[Damage]:
    """Returns all damage: at most 10,000 items, and one more with the number of the others."""
    all_damage = _all_damage(files, storage, progress)
    damages = list(islice(all_damage, _DAMAGES_MAX))
    more = sum(1 for _ in all_damage)
    if more:
        damages.append(Damage(files.index.path, None, 0, f"{more} more damages are not listed"))
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
    """Returns the rows whose bytes exist, and those whose bytes are missing, in file order."""
    columns = files.index.columns
    exists = columns.size == 0
    for shard, file in files.data.items():
        exists |= (columns.shard == shard) & (columns.offset + columns.size <= file.size)
    # A partitioned value has no bytes to verify; its parts have.
    has_bytes = np.ones(len(exists), np.bool_)
    has_bytes[list(files.index.partitioned)] = False
    return (
        in_file_order(files, np.flatnonzero(exists & has_bytes)),
        in_file_order(files, np.flatnonzero(~exists)),
    )


def structural_damage(files: Files, storage: Storage) -> Iterator[Damage]:
    """Yields the damage of data files outside of values.

    A data file ends at the end of its last value. The bytes between values are zero, or have a
    checksum in the header. (Missing data files, and values past the end, are found when values are
    read.)
    """
    for shard, file in files.data.items():
        start, end = _extents(files, shard)
        if file.size != (wanted := int(end[-1])):
            kind = "longer" if file.size > wanted else "shorter"
            yield Damage(
                file.path,
                None,
                min(file.size, wanted),
                f"the file has {file.size} bytes, {kind} than the {wanted} in the "
                "index: it belongs to another checkpoint, or was changed",
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
    """Yields the data files that contain no value and are not empty."""
    for path in files.unused(storage):
        identity = storage.identity(path)
        if identity is not None and identity.size:
            yield Damage(
                path, None, 0, f"the file has {identity.size} bytes, but contains no value"
            )


def _unreferenced_damage(files: Files, shard: int) -> Iterator[Damage]:
    file = files.data[shard]
    for gap in files.index.header.unreferenced:
        if gap.shard == shard and gap.offset + gap.size <= file.size:
            crc32c = load_crc32c()
            crc = 0
            for _, piece in _pieces(file, gap.offset, gap.offset + gap.size):
                crc = crc32c(piece, crc)
            if mask(crc) != gap.crc:
                yield Damage(file.path, None, gap.offset, differs(mask(crc), gap.crc))


def _pieces(file: ReadableFile, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Yields (offset, bytes) of pieces of a file."""
    for offset in range(start, stop, PIECE_SIZE):
        yield offset, file.read(offset, min(PIECE_SIZE, stop - offset))


def _extents(files: Files, shard: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns start and end of the values and unreferenced bytes of a data file, in order."""
    columns = files.index.columns
    rows = np.flatnonzero((columns.shard == shard) & (columns.size > 0))
    gaps = [gap for gap in files.index.header.unreferenced if gap.shard == shard]
    start = np.append(columns.offset[rows], np.array([g.offset for g in gaps], np.int64))
    size = np.append(columns.size[rows], np.array([g.size for g in gaps], np.int64))
    order = np.argsort(start, kind="stable")
    return start[order], (start + size)[order]
