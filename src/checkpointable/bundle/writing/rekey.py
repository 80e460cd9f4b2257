"""Writes a checkpoint under other keys: a new index for the same data files.

The data files get a second name, or are copied where that is not possible. Nothing is decoded, so
values that NumPy cannot read are preserved. Scalar strings, such as the object graph, can be
replaced: their new bytes form one more shard. The old bytes stay in the file; the header lists them
with a checksum, so that damage in them is still detected.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from checkpointable.bundle.checksum import load_crc32c, mask
from checkpointable.bundle.dtypes import DataType
from checkpointable.bundle.index.entry import Entry
from checkpointable.bundle.index.header import Unreferenced
from checkpointable.bundle.reading.reader import BundleReader
from checkpointable.bundle.slices import slice_key
from checkpointable.bundle.strings import encode_strings
from checkpointable.bundle.writing.commit import Publication
from checkpointable.bundle.writing.index import encode_index
from checkpointable.bundle.writing.target import check_target
from checkpointable.storage import Storage, check_durability, default_storage

if TYPE_CHECKING:
    from checkpointable.bundle.writing.values import Progress

__all__ = ["rekey_bundle"]


def rekey_bundle(
    reader: BundleReader,
    prefix: str | os.PathLike[str],
    keys: Mapping[str, str],
    strings: Mapping[str, bytes],
    *,
    overwrite: bool = False,
    durability: str = "fsync",
    storage: Storage | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes the values of `reader` as the checkpoint `prefix`, under other keys.

    Shards without values are left out. The others are not changed.

    Args:
      reader: The checkpoint; stays open.
      prefix: The checkpoint prefix of the result.
      keys: old key -> new key, for the keys that change.
      strings: old key -> new contents, for the scalar strings that change.
      overwrite: Replace a checkpoint that has this prefix.
      durability: As for `write_bundle`.
      storage: As for `write_bundle`.
      progress: Called with (bytes copied or linked, bytes in total, path of the data file).

    Raises:
      ValueError: Two values would have the same key, or `prefix` is that of the reader.
      CheckpointCorruptError: The data files do not match the index.
      CheckpointIOError: The prefix has a checkpoint and `overwrite` is False, or the operating
        system reported an error.
    """
    check_durability(durability)
    storage = storage or default_storage()
    path = os.fspath(prefix)
    check_target(reader.prefix, path, overwrite=overwrite, storage=storage)
    reader.check(())  # sizes of the files, and the bytes between values
    layout = _Layout(reader, keys, strings)
    files = reader.files.data
    total = sum(files[shard].size for shard in layout.shards)
    done = 0
    with Publication(storage, path, durability, overwrite=overwrite) as publication:
        for shard in layout.shards:
            file = files[shard]
            file_progress = progress and partial(_report, progress, done, total, file.path)
            publication.link_data(file, file_progress)
            done += file.size
        if layout.data or not layout.shards:
            publication.create_data(len(layout.data)).write_at(layout.data, 0)
        publication.publish(
            lambda num_shards: encode_index(
                replace(reader.header, num_shards=num_shards, unreferenced=layout.unreferenced),
                layout.entries,
            )
        )


def _report(progress: Progress, before: int, total: int, path: str, size: int) -> None:
    progress(before + size, total, path)


class _Layout:
    """The location of each value under its new key.

    Attributes:
      shards: The numbers of the data files of the reader that are kept.
      data: The contents of the new data file.
      entries: (key, entry) pairs, including those of parts.
      unreferenced: The bytes in `shards` that no value uses.
    """

    def __init__(
        self, reader: BundleReader, keys: Mapping[str, str], strings: Mapping[str, bytes]
    ) -> None:
        self._reader = reader
        self._index = reader.files.index
        stored = {key: self._index.entry_of(row) for key, row in self._index.rows.items()}
        parts = {key: self._index.entry_of(row) for key, row in self._index.parts.items()}
        kept = [entry for key, entry in stored.items() if key not in strings]
        self.shards = sorted({e.shard for e in (*kept, *parts.values()) if e.size})
        self._numbers = {shard: number for number, shard in enumerate(self.shards)}
        self.data = b""
        new = {key: self._encoded(stored[key], contents) for key, contents in strings.items()}
        self.entries = list(self._renamed(keys, stored, parts, new))
        if len({key for key, _ in self.entries}) < len(self.entries):
            raise ValueError(f"{reader.prefix}: two values would have the same key")
        self.unreferenced = tuple(self._gaps(stored[key] for key in strings))

    def _encoded(self, entry: Entry, contents: bytes) -> Entry:
        assert (entry.dtype, entry.shape) == (DataType.DT_STRING, ())
        payload, crc = encode_strings([contents], big_endian=self._reader.header.big_endian)
        offset = len(self.data)
        self.data += payload
        return replace(entry, shard=len(self.shards), offset=offset, size=len(payload), crc=crc)

    def _renamed(
        self,
        keys: Mapping[str, str],
        stored: Mapping[str, Entry],
        parts: Mapping[bytes, Entry],
        new: Mapping[str, Entry],
    ) -> Iterator[tuple[bytes | str, Entry]]:
        for key, entry in stored.items():
            name = keys.get(key, key)
            if not name:
                raise ValueError(f"key {key!r}: its new key is empty")
            yield name, new[key] if key in new else self._moved(entry)
            for extents in entry.slices:
                yield slice_key(name, extents), self._moved(parts[slice_key(key, extents)])

    def _moved(self, entry: Entry) -> Entry:
        if not entry.size:
            return replace(entry, shard=0, offset=0)
        return replace(entry, shard=self._numbers[entry.shard])

    def _gaps(self, replaced: Iterator[Entry]) -> Iterator[Unreferenced]:
        for gap in self._reader.header.unreferenced:
            if gap.shard in self._numbers:
                yield gap._replace(shard=self._numbers[gap.shard])
        for entry in replaced:
            if entry.shard in self._numbers:
                view = self._reader.files.view(entry.shard, entry.offset, entry.size)
                crc = mask(load_crc32c()(view))
                yield Unreferenced(self._numbers[entry.shard], entry.offset, entry.size, crc)
