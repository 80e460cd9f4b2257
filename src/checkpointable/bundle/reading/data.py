"""The data files of a checkpoint, held open from the moment its index is read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from checkpointable.bundle.format import data_path, parse_data_name, split_prefix
from checkpointable.bundle.index.index import Index
from checkpointable.bundle.reading.authenticated_file import AuthenticFile
from checkpointable.bundle.reading.signed import hashes_of_data
from checkpointable.errors import (
    CheckpointCorruptError,
)
from checkpointable.manifest import Manifest
from checkpointable.storage import ReadableFile, Storage

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Files", "closed", "missing"]


class Files:
    """An index and the data files that belong to it.

    Attributes:
      index: The index.
      index_size: The size of its file, in bytes.
      index_identity: The identity of its file.
      data: shard -> file, for each shard that has bytes of a value or unreferenced bytes. Missing
        files are absent if the checkpoint was opened with `damaged`.
      paths: shard -> path, for the same shards.
      manifest: The manifest by which the data files are read (`AuthenticFile`); None if the
        checkpoint was opened without a key.
    """

    manifest: Manifest | None = None
    _closed = False

    def __init__(self, prefix: str, index: Index, index_file: ReadableFile) -> None:
        self.prefix = prefix
        self.index = index
        self.index_size = index_file.size
        self.index_identity = index_file.identity
        self.data: dict[int, ReadableFile] = {}
        columns = index.columns
        used = set(np.unique(columns.shard[columns.size > 0]).tolist())
        used.update(gap.shard for gap in index.header.unreferenced)
        self.paths = {s: data_path(prefix, s, index.header.num_shards) for s in sorted(used)}

    def view(self, shard: int, offset: int, size: int, *, private: bool = False) -> memoryview:
        """Returns the bytes of a value, mapped into memory.

        Args:
          shard: The data file.
          offset: The offset of the bytes.
          size: The number of bytes.
          private: Return memory that may be written to. Writes do not change the file.

        Raises:
          ValueError: The files were closed.
          CheckpointCorruptError: The data file is missing or too short.
        """
        if not size:
            self.require_open()
            return memoryview(b"")
        file = self.file_of(shard, offset, size)
        if isinstance(file, AuthenticFile):
            view = file.view(offset, size)
            return memoryview(bytearray(view)) if private else view
        return (file.map_private() if private else file.map())[offset : offset + size]

    def read(self, shard: int, offset: int, size: int, buffer: memoryview) -> memoryview:
        """Returns bytes of a value: in `buffer`, or in memory of this object.

        Args:
          shard: The data file.
          offset: The offset of the bytes.
          size: The number of bytes.
          buffer: At least `size` bytes.

        Raises:
          ValueError, CheckpointCorruptError: As for `view`.
          CheckpointIOError: The file cannot be read.
        """
        if not size:
            self.require_open()
            return buffer[:0]
        file = self.file_of(shard, offset, size)
        if isinstance(file, AuthenticFile):
            return file.view(offset, size)
        buffer = buffer[:size]
        file.read_into(offset, buffer)
        return buffer

    def read_into(self, shard: int, offset: int, buffer: memoryview) -> None:
        """Fills `buffer` with bytes of a value; raises as `read` does."""
        if len(buffer):
            self.file_of(shard, offset, len(buffer)).read_into(offset, buffer)
        else:
            self.require_open()

    def file_of(self, shard: int, offset: int, size: int) -> ReadableFile:
        """Returns the data file that contains these bytes; raises as `view` does."""
        self.require_open()
        file = self.data.get(shard)
        if file is None:
            raise missing(self.paths[shard])
        if offset + size > file.size:
            raise CheckpointCorruptError(
                f"the file has {file.size} bytes, {size} are needed at {offset}: it was cut short",
                path=file.path,
                offset=min(offset, file.size),
            )
        return file

    def load(self, rows: npt.NDArray[np.int64], threads: int | None = None) -> None:
        """Verifies the bytes of rows against the manifest, if there is one."""
        if self.manifest is None:
            return
        columns = self.index.columns
        for shard, file in self.data.items():
            in_file = rows[(columns.shard[rows] == shard) & (columns.size[rows] > 0)]
            start = columns.offset[in_file]
            stop = start + columns.size[in_file]
            if isinstance(file, AuthenticFile) and len(in_file):
                file.load(start, stop, threads)

    def use_manifest(self, manifest: Manifest, *, damaged: bool) -> None:
        """Reads the data files through the hashes in a manifest from now on.

        Args:
          manifest: The manifest.
          damaged: Accept files of other sizes, so that their damage can be listed.

        Raises:
          CheckpointCorruptError: The manifest lists other files, or files of other sizes.
        """
        hashes = hashes_of_data(manifest, self.paths.values(), self.prefix)
        for shard, file_hashes in zip(self.paths, hashes, strict=True):
            if shard in self.data:
                file = AuthenticFile(self.data[shard], file_hashes, manifest.chunk_size)
                self.data[shard] = file
                if not damaged:
                    file.check_size()
        self.manifest = manifest

    def unused(self, storage: Storage) -> list[str]:
        """Returns the paths of data files that exist but contain no value."""
        directory, base = split_prefix(self.prefix)
        count = self.index.header.num_shards
        names = []
        for name in storage.list(directory):
            parsed = parse_data_name(name, base)
            if parsed is None or parsed[1] != count or parsed[0] >= count:
                continue
            if parsed[0] not in self.paths and name == os.path.basename(
                data_path(base, parsed[0], count)
            ):
                names.append(f"{self.prefix}{name[len(base) :]}")
        return names

    def require_open(self) -> None:
        """Checks that the files are open: a closed file must not be reported as damaged.

        Raises:
          ValueError: They were closed.
        """
        if self._closed:
            raise closed(self.prefix)

    def close(self) -> None:
        self._closed = True
        for file in self.data.values():
            file.close()
        self.data = {}


def closed(prefix: str) -> ValueError:
    """Returns the error for a reader that is used after it was closed."""
    return ValueError(f"{prefix}: the reader was closed; open the checkpoint again")


def missing(path: str) -> CheckpointCorruptError:
    """Returns the error for a missing data file."""
    return CheckpointCorruptError(
        "the index exists, but this data file is missing: restore it, or remove the index",
        path=path,
    )
