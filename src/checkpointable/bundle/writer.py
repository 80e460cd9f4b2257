"""Writes a bundle: values, index, and the step that makes them a checkpoint."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from checkpointable.bundle.commit import Publication
from checkpointable.bundle.entry import Entry, Header, encode_entry, encode_fields, encode_header
from checkpointable.bundle.plan import Plan, Planned, Record, plan_layout
from checkpointable.bundle.table_writer import TableBuilder
from checkpointable.bundle.values import write_values
from checkpointable.storage import Storage, check_durability, default_storage, replace_file

if TYPE_CHECKING:
    from checkpointable.bundle.values import Progress

__all__ = ["encode_index", "write_bundle", "write_index"]


def write_bundle(
    prefix: str | os.PathLike[str],
    records: Iterable[Record],
    *,
    durability: str = "fsync",
    storage: Storage | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes values as the checkpoint `prefix`, replacing the one that is there, if any.

    The same values give the same bytes, in whatever order the records come (S13). When
    this returns, the checkpoint is there as a whole; when it raises, what was there before
    is unchanged and nothing else is left.

    Args:
      prefix: the checkpoint's path, without the endings of its files. Directories that are
        missing are made.
      records: the values.
      durability: "fsync" returns when the checkpoint would survive a loss of power;
        "flush" leaves that to the operating system.
      storage: where to write; the local file system if None.
      threads: how many threads write; as many as there are processors (at most 8) if None.
      progress: called with (bytes done, bytes in all, key) as values are written, by the
        thread that called this.

    Raises:
      ValueError: an empty key, the same key twice, a prefix that ends with a separator.
      CheckpointUnsupportedError: a dtype or a key that cannot be stored.
      CheckpointMismatchError: a value is not what its record declares.
      CheckpointIOError, CheckpointPermissionError: the operating system refused.
    """
    check_durability(durability)
    path = os.fspath(prefix)
    if not os.path.basename(path):
        raise ValueError(f"{path!r} names a directory; a prefix has a name after it")
    plan = plan_layout(records)
    with Publication(storage or default_storage(), path, durability) as publication:
        file = publication.create_data(plan.size)
        write_values(file, plan, threads=threads, progress=progress)
        publication.publish(lambda num_shards: _plan_index(plan, num_shards))


def _plan_index(plan: Plan, num_shards: int) -> bytes:
    table = TableBuilder()
    table.add(b"", encode_header(Header(num_shards=num_shards)))
    entries = ((value.key, _entry(value)) for value in plan.values)
    partitioned = sorted((record.key.encode(), _whole_entry(record)) for record in plan.partitioned)
    for key, entry in heapq.merge(entries, partitioned) if partitioned else entries:
        table.add(key, entry)
    return table.finish()


def _entry(value: Planned) -> bytes:
    record = value.record
    return encode_fields(record.dtype, tuple(record.shape), 0, value.offset, value.size, value.crc)


def _whole_entry(record: Record) -> bytes:
    slices = tuple(extents for extents, _ in record.parts)
    return encode_entry(Entry(record.dtype, tuple(record.shape), 0, 0, 0, 0, slices))


def encode_index(header: Header, entries: Iterable[tuple[bytes | str, Entry]]) -> bytes:
    """The contents of an index file.

    Args:
      entries: (key, entry); a key as bytes is that of a part of a partitioned value.
    """
    table = TableBuilder()
    table.add(b"", encode_header(header))
    encoded = ((k.encode() if isinstance(k, str) else k, entry) for k, entry in entries)
    for key, entry in sorted(encoded, key=lambda pair: pair[0]):
        table.add(key, encode_entry(entry))
    return table.finish()


def write_index(
    path: str | os.PathLike[str],
    header: Header,
    entries: Iterable[tuple[bytes | str, Entry]],
    *,
    durability: str = "fsync",
    storage: Storage | None = None,
) -> None:
    """Writes or replaces an index file in one step, for data files that are there already.

    Args:
      path: of the index file itself.
      header, entries: what it is to say, as `BundleReader.header` and
        `BundleReader.raw_entries` give them.
    """
    contents = encode_index(header, entries)
    replace_file(storage or default_storage(), os.fspath(path), contents, durability)
