"""The data files of a bundle, held open from the moment its index is read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from checkpointable.bundle.authentic import AuthenticFile
from checkpointable.bundle.format import data_path, index_path, parse_data_name, split_prefix
from checkpointable.bundle.index import Index, load_index
from checkpointable.bundle.signed import hashes_of_data, load_manifest
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIOError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.manifest import Manifest, Verifier
from checkpointable.storage import ReadableFile, Storage

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Files", "closed", "open_files"]

# Each further attempt needs another save of the same prefix in the time it takes to open
# two files: as many in a row are a program that does nothing else.
_ATTEMPTS = 1000


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
        file = self._file(shard, offset, size)
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
        file = self._file(shard, offset, size)
        if isinstance(file, AuthenticFile):
            return file.view(offset, size)
        buffer = buffer[:size]
        file.read_into(offset, buffer)
        return buffer

    def read_into(self, shard: int, offset: int, buffer: memoryview) -> None:
        """Fills `buffer` with the bytes of a value, or some of them; raises as `read`."""
        if len(buffer):
            self._file(shard, offset, len(buffer)).read_into(offset, buffer)
        else:
            self.require_open()

    def _file(self, shard: int, offset: int, size: int) -> ReadableFile:
        """The data file in which these bytes lie."""
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


def open_files(
    prefix: str,
    storage: Storage,
    *,
    damaged: bool = False,
    verifier: Verifier | None = None,
) -> Files:
    """Opens and verifies the index of `prefix`, and opens its data files.

    A save of the same prefix may replace both in the meantime. That is seen by the index
    being another one after the data files are open (or are gone); then all is read again.

    Args:
      damaged: go on without data files that are missing or too short.
      verifier: judges the checkpoint's manifest before anything else of it is looked at, and
        the data is read by what the manifest says of it; None: nobody asks for one.

    Raises:
      CheckpointNotFoundError: there is no such checkpoint; names those beside it.
      CheckpointCorruptError, CheckpointUnsupportedError, CheckpointIOError
      CheckpointSignatureError: there is no manifest, or none that `verifier` vouches for.
    """
    path = index_path(prefix)
    for _ in range(_ATTEMPTS):
        try:
            index_file = storage.open(path)
        except CheckpointNotFoundError:
            raise _not_found(prefix, storage) from None
        # Kept open until the data is: its inode cannot become another file's meanwhile.
        with index_file:
            contents = index_file.read(0, index_file.size)
            manifest = None
            try:
                if verifier is not None:
                    manifest = load_manifest(prefix, contents, storage, verifier)
            except CheckpointError:
                if storage.identity(path) != index_file.identity:
                    continue  # a save has taken the manifest away together with the index
                raise
            index = load_index(contents, path)
            files = Files(prefix, index, index_file)
            try:
                absent = _open_data(files, storage)
                if storage.identity(path) != index_file.identity:
                    files.close()
                    continue
                if absent and not damaged:
                    raise missing(absent[0])
                if not damaged:
                    sizes = {shard: file.size for shard, file in files.data.items()}
                    index.check_data_sizes(sizes, files.paths)
                if manifest is not None:
                    files.use_manifest(manifest, damaged=damaged)
            except BaseException:
                files.close()
                raise
            return files
    raise CheckpointIOError(
        f"saves replaced it {_ATTEMPTS} times in a row while it was being opened: open it when "
        "they are done, or save under numbers",
        path=prefix,
        errno=errno.EBUSY,
    )


def _open_data(files: Files, storage: Storage) -> list[str]:
    """Opens the data files; returns the paths of those that are not there."""
    absent = []
    for shard, path in files.paths.items():
        try:
            files.data[shard] = storage.open(path)
        except CheckpointNotFoundError:
            absent.append(path)
    return absent


def _not_found(prefix: str, storage: Storage) -> CheckpointError:
    if storage.exists(prefix) and not storage.is_directory(prefix):
        return CheckpointUnsupportedError(
            "this is one file, not the prefix of a bundle's files; a checkpoint of TensorFlow "
            "before 0.12 (V1) is opened by load_checkpoint",
            path=prefix,
        )
    others = checkpoints_in(split_prefix(prefix)[0], storage)
    if others:
        beside = f"beside it lie {', '.join(map(repr, others[:10]))}"
        if len(others) > 10:
            beside += f" and {len(others) - 10} more"
    else:
        beside = "there is none in its directory"
    return CheckpointNotFoundError(
        f"there is no checkpoint of this name ({os.path.basename(index_path(prefix))} does not "
        f"exist); {beside}",
        path=prefix,
    )


def checkpoints_in(directory: str, storage: Storage) -> list[str]:
    """The names of the checkpoints (by their indexes) in a directory; none if it is not there."""
    try:
        names: Iterable[str] = storage.list(directory)
    except CheckpointError:
        return []
    ending = index_path("")
    return [
        name.removesuffix(ending)
        for name in names
        if name.endswith(ending) and not name.startswith(".")
    ]
