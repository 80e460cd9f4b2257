"""The checksums of a zip archive's records, which `torch.save` writes and `torch.load` ignores.

    local header   30 bytes, among them the lengths of name and extra field at offset 26
    name, extra field, data
    …
    central directory: of each record name, CRC-32, size and offset of its local header

Source: APPNOTE.TXT - .ZIP File Format Specification, sections 4.3.7 and 4.3.12.
"""

from __future__ import annotations

import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import NamedTuple

from checkpointable.bundle.parallel import run_in_order
from checkpointable.bundle.reading.verify import Damage
from checkpointable.errors import CheckpointCorruptError
from checkpointable.storage import ReadableFile

__all__ = ["RecordChecksums", "ZipRecord", "records_of"]

_HEADER_SIZE, _LENGTHS = 30, 26
_MAGIC = b"PK\x03\x04"
_PART_SIZE = 4 << 20  # bytes that are read at once
_DAMAGES_MAX = 10_000  # a hostile file could fill the memory with them


class ZipRecord(NamedTuple):
    """A record of an archive that stores it without compression.

    Attributes:
      name: Its name in the archive.
      header: The offset of its local header, in bytes.
      size: Its size in bytes.
      crc: The CRC-32 of its bytes.
    """

    name: str
    header: int
    size: int
    crc: int


def records_of(members: Iterable[zipfile.ZipInfo]) -> list[ZipRecord]:
    """Returns the records of an archive in the order of the file.

    Returns an empty list if the archive has no checksums: with
    `torch.serialization.set_crc32_options(False)` PyTorch writes 0 for each.
    """
    records = [ZipRecord(m.filename, m.header_offset, m.file_size, m.CRC) for m in members]
    if not any(record.crc for record in records):
        return []
    return sorted(records, key=lambda record: record.header)


class RecordChecksums:
    """Verifies the records of one file, each once; later calls repeat the result.

    Tensors do not tell in which record their bytes are, so all of them are read.

    Args:
      file: The open file, which this object closes.
      records: The records to verify.
    """

    def __init__(self, file: ReadableFile, records: list[ZipRecord]) -> None:
        self.file = file
        self._records = records
        self._lock = threading.Lock()
        self._damages: list[Damage] | None = None

    @property
    def size(self) -> int:
        """The size of the records in bytes."""
        return sum(record.size for record in self._records)

    def damages(
        self, progress: Callable[[int, str], object] | None = None, threads: int | None = None
    ) -> list[Damage]:
        """Returns the damage of each record whose bytes do not have its checksum.

        Args:
          progress: Called with (bytes read, name of the record).
          threads: As for `run_in_order`.
        """
        with self._lock:
            if self._damages is None:
                self._damages = self._read(progress, threads)
            return self._damages

    def check(self, threads: int | None = None) -> None:
        """Verifies all records.

        Raises:
          CheckpointCorruptError: The first damage.
        """
        for damage in self.damages(threads=threads):
            raise CheckpointCorruptError(damage.what, path=damage.path, offset=damage.offset)

    def _read(
        self, progress: Callable[[int, str], object] | None, threads: int | None
    ) -> list[Damage]:
        damages: list[Damage] = []
        done = 0
        with closing(run_in_order(self._tasks(), self.size, threads)) as results:
            for record, damage in results:
                done += record.size
                if progress is not None:
                    progress(done, record.name)
                if damage is not None and len(damages) < _DAMAGES_MAX:
                    damages.append(damage)
        return damages

    def _tasks(self) -> Iterator[tuple[ZipRecord, Callable[[], Damage | None]]]:
        for record in self._records:
            yield record, partial(_damage_of, self.file, record)


def _damage_of(file: ReadableFile, record: ZipRecord) -> Damage | None:
    header = file.read(record.header, _HEADER_SIZE)
    if not header.startswith(_MAGIC):
        what = f"record {record.name!r} of the archive has no header here: the file is damaged"
        return Damage(file.path, None, record.header, what)
    lengths = header[_LENGTHS:_HEADER_SIZE]
    start = record.header + _HEADER_SIZE + sum(lengths[::2]) + (sum(lengths[1::2]) << 8)
    if start + record.size > file.size:
        what = f"record {record.name!r} of the archive ends beyond the end of the file"
        return Damage(file.path, None, start, what)
    buffer = memoryview(bytearray(min(_PART_SIZE, record.size)))
    crc = 0
    for done in range(0, record.size, _PART_SIZE):
        part = buffer[: record.size - done]
        file.read_into(start + done, part)
        crc = zlib.crc32(part, crc)
    if crc == record.crc:
        return None
    what = (
        f"record {record.name!r} of the archive has the CRC-32 0x{crc:08x}, but the archive says "
        f"0x{record.crc:08x}: its bytes are damaged"
    )
    return Damage(file.path, None, start, what)
