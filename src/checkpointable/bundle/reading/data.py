"""The data files of a bundle, held open from the moment its index is read."""

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
    """An index, and the data files that belong to it.

    Attributes:
      index: what the index says.
      index_size: of its file, in bytes.
      index_identity: which file that is.
      data: shard -> file, for every shard that has bytes of a value, or bytes that the header
        knows of; fewer where `open_files` was told to go on without.
      paths: shard -> path, of the same shards.
      manifest: by which the data files are read (`AuthenticFile`); None where no key was given.
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
        """The bytes of a value, mapped.

        Args:
          private: may be written to, which changes this mapping alone and not the file.

        Raises:
          ValueError: the files were closed.
          CheckpointCorruptError: the data file is not there, or too short.
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
        """The bytes of a value, or some of them: read into `buffer`, or in memory of our own.

        Args:
          buffer: of at least `size` bytes.

        Raises:
          As `view`; CheckpointIOError: the disk refused.
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
        """Fills `buffer` with the bytes of a value, or some of them; raises as `read`."""
        if len(buffer):
            self.file_of(shard, offset, len(buffer)).read_into(offset, buffer)
        else:
            self.require_open()

    def file_of(self, shard: int, offset: int, size: int) -> ReadableFile:
        """The data file in which these bytes lie, all of them; raises as `view`."""
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
        """Compares what rows need with the manifest, if there is one, before it is used."""
        if self.manifest is None:
            return
        columns = self.index.columns
        for shard, file in self.data.items():
            own = rows[(columns.shard[rows] == shard) & (columns.size[rows] > 0)]
            start = columns.offset[own]
            stop = start + columns.size[own]
            if isinstance(file, AuthenticFile) and len(own):
                file.load(start, stop, threads)

    def use_manifest(self, manifest: Manifest, *, damaged: bool) -> None:
        """Reads the data files by the hashes that a manifest has of them.

        Args:
          damaged: a file of another size is taken, for its damage to be listed.

        Raises:
          CheckpointCorruptError: the manifest has other files, or of other sizes.
        """
        hashes = hashes_of_data(manifest, self.paths.values(), self.prefix)
        for shard, own in zip(self.paths, hashes, strict=True):
            if shard in self.data:
                file = AuthenticFile(self.data[shard], own, manifest.chunk_size)
                self.data[shard] = file
                if not damaged:
                    file.check_size()
        self.manifest = manifest

    def unused(self, storage: Storage) -> list[str]:
        """Paths of the bundle's data files that exist and hold no value."""
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
        """Checks that they were not closed: what is gone then is not damaged.

        Raises:
          ValueError: they were.
        """
        if self._closed:
            raise closed(self.prefix)

    def close(self) -> None:
        self._closed = True
        for file in self.data.values():
            file.close()
        self.data = {}


def closed(prefix: str) -> ValueError:
    """The error for a reader that is used after it was closed."""
    return ValueError(f"{prefix}: the reader was closed; open the checkpoint again to read on")


def missing(path: str) -> CheckpointCorruptError:
    """The error for a data file that is not there."""
    return CheckpointCorruptError(
        "the index is there, but this data file is missing: bring it back, or remove the index",
        path=path,
    )
