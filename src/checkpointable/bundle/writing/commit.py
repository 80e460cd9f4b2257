"""Publishes written files as a checkpoint, atomically and without risk to the previous one.

The order of the steps keeps a whole checkpoint on disk at every moment:

1. Write the data file under a temporary name and make it durable. (An existing data file can
   be reused under a second name instead: step 2.)
2. Rename the data file to its final name, with a number of shards that the present index does
   not use, so that the present checkpoint keeps its data. Write the manifest, if there is one;
   its name is derived from the new index, so that the present checkpoint keeps its manifest
   too. Make the directory durable.
3. Write the index under a temporary name, make it durable, and rename it. The rename is the
   moment at which the new checkpoint replaces the old one. Make the directory durable.
4. Remove the old data files and the old manifest.

Steps 2 to 4 hold the lock of the directory, so concurrent saves to the same prefix are serialized.
A crash leaves the old or the new checkpoint and, at most, temporary files and data files that no
index refers to. The next save of the prefix removes those.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from types import TracebackType

from checkpointable.bundle.format import data_path, index_path, parse_data_name, split_prefix
from checkpointable.bundle.index.header import Header
from checkpointable.bundle.index.index import load_header
from checkpointable.bundle.writing.target import check_free
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.manifest import is_manifest_name, manifest_path
from checkpointable.storage import (
    ReadableFile,
    Storage,
    WritableFile,
    create_temporary,
    finish_writing,
    link_or_copy,
    remove_stale,
)

__all__ = ["Publication"]


class Publication:
    """One save to one prefix: creates the data file, then publishes it with its index.

    A context manager. If the block raises, it removes the files of the failed save.

    Args:
      storage: The storage to write to.
      prefix: The checkpoint prefix.
      durability: "fsync" or "flush". With "flush" nothing is synced; the order stays the same.
      overwrite: If False, a prefix that has a checkpoint is refused.
    """

    def __init__(
        self, storage: Storage, prefix: str, durability: str, *, overwrite: bool = True
    ) -> None:
        self._storage = storage
        self._prefix = prefix
        self._directory, self._base = split_prefix(prefix)
        self._sync = durability == "fsync"
        self._overwrite = overwrite
        self._linked: list[tuple[ReadableFile, Callable[[int], object] | None]] = []
        self._data: WritableFile | None = None
        self._index: WritableFile | None = None
        # Files that have their final names, but that no index refers to yet.
        self._renamed: list[str] = []

    def __enter__(self) -> Publication:
        self._check_free()
        self._storage.make_directories(self._directory, sync=self._sync)
        remove_stale(self._storage, self._directory, self._is_ours)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            return
        for file in (self._data, self._index):
            if file is not None:
                file.abort()

    def create_data(self, size: int) -> WritableFile:
        """Creates the data file under a temporary name, filled with `size` zero bytes."""
        self._data = create_temporary(self._storage, f"{self._prefix}.data", size)
        return self._data

    def link_data(
        self, source: ReadableFile, progress: Callable[[int], object] | None = None
    ) -> None:
        """Reuses an existing data file as the next shard, before the one of `create_data`.

        Args:
          source: The open data file.
          progress: Called with the number of bytes copied so far, if the file is copied.
        """
        self._linked.append((source, progress))

    def publish(
        self,
        make_index: Callable[[int], bytes],
        make_manifest: Callable[[bytes, int], bytes] | None = None,
    ) -> None:
        """Makes the written data the checkpoint of the prefix.

        Args:
          make_index: Returns the contents of the index for a number of shards. The shards are
            those of `link_data`, then that of `create_data`, then perhaps an empty one.
          make_manifest: Returns the contents of a manifest for an index and that number.
        """
        data = self._data
        assert data is not None or self._linked, "call create_data or link_data first"
        if data is not None:
            finish_writing(data, sync=self._sync)
        expected = self._free_num_shards()
        contents = make_index(expected)
        with self._storage.lock_directory(self._directory):
            self._check_free()
            num_shards = self._free_num_shards()
            if num_shards != expected:  # another process saved in between
                contents = make_index(num_shards)
            try:
                manifest = None if make_manifest is None else make_manifest(contents, num_shards)
                self._switch(data, contents, num_shards, manifest)
            except BaseException:
                self._take_back(num_shards)
                raise
            self._remove_old_files(num_shards, contents if manifest is not None else None)
        if data is not None:
            data.close()

    def _switch(
        self, data: WritableFile | None, contents: bytes, num_shards: int, manifest: bytes | None
    ) -> None:
        """Steps 2 and 3: gives all files their final names, the index last."""
        storage = self._storage
        shards = range(max(num_shards, self._min_shards()))
        if self._sync and any(
            storage.exists(data_path(self._prefix, shard, num_shards)) for shard in shards
        ):
            # These files are of an earlier process, which ended before its rename, or the
            # removal of its old data, was durable. After a power failure they may belong to
            # the present checkpoint.
            storage.sync_directory(self._directory)
        for shard, (source, progress) in enumerate(self._linked):
            path = data_path(self._prefix, shard, num_shards)
            self._renamed.append(path)
            link_or_copy(storage, source, path, sync=self._sync, progress=progress)
        for shard in range(self._min_shards(), num_shards):
            self._write_file("data", b"", data_path(self._prefix, shard, num_shards))
        if data is not None:
            path = data_path(self._prefix, len(self._linked), num_shards)
            self._renamed.append(path)
            storage.rename(data.path, path)
        if manifest is not None:
            self._write_file("manifest", manifest, manifest_path(self._prefix, contents))
        if self._sync:
            storage.sync_directory(self._directory)
        path = index_path(self._prefix)
        self._index = index = create_temporary(storage, path, len(contents))
        index.write_at(contents, 0)
        finish_writing(index, sync=self._sync)
        storage.rename(index.path, path)
        index.close()
        if self._sync:
            storage.sync_directory(self._directory)

    def _write_file(self, kind: str, contents: bytes, path: str) -> None:
        """Writes a small file under a temporary name and renames it to `path`."""
        file = create_temporary(self._storage, f"{self._prefix}.{kind}", len(contents))
        try:
            if contents:
                file.write_at(contents, 0)
            finish_writing(file, sync=self._sync)
            self._renamed.append(path)
            self._storage.rename(file.path, path)
        except BaseException:
            file.abort()
            raise
        file.close()

    def _take_back(self, num_shards: int) -> None:
        """Removes the files of a failed save that have their final names.

        Does nothing if the failure came after the index was renamed (a sync that failed, an
        interrupt): the index refers to the files then.
        """
        try:
            header = self._present_header()
        except CheckpointError:
            return
        if header is not None and header.num_shards == num_shards:
            return
        for path in self._renamed:
            try:
                self._storage.delete(path)
            except CheckpointError:
                pass  # it has not been renamed yet, or the disk refuses that as well

    def _min_shards(self) -> int:
        return len(self._linked) + (self._data is not None)

    def _free_num_shards(self) -> int:
        """Returns a number of shards, usually 1 or 2, that the present index does not use."""
        header = self._present_header()
        least = self._min_shards()
        return least + 1 if header is not None and header.num_shards == least else least

    def _check_free(self) -> None:
        if not self._overwrite:
            check_free(self._storage, self._prefix)

    def _present_header(self) -> Header | None:
        path = index_path(self._prefix)
        try:
            with self._storage.open(path) as file:
                return load_header(file.read(0, file.size), path)
        except CheckpointNotFoundError:
            return None
        except (CheckpointCorruptError, CheckpointUnsupportedError):
            return None  # there is no readable checkpoint whose data must be kept

    def _remove_old_files(self, num_shards: int, index_with_manifest: bytes | None) -> None:
        """Removes the data files and manifests that the new index does not refer to.

        Files that cannot be removed stay, without an error.

        Args:
          num_shards: The number of shards of the new index.
          index_with_manifest: The contents of the new index, if it has a manifest.
        """
        manifest = None
        if index_with_manifest is not None:
            manifest = os.path.basename(manifest_path(self._prefix, index_with_manifest))
        try:
            for name in self._storage.list(self._directory):
                parsed = parse_data_name(name, self._base)
                old_data = parsed is not None and parsed[1] != num_shards
                if old_data or (name != manifest and is_manifest_name(name, self._base)):
                    self._storage.delete(os.path.join(self._directory, name))
        except CheckpointError:
            return

    def _is_ours(self, final: str) -> bool:
        """Returns whether a file name belongs to this prefix, or to the prefix with another number.

        A program that was killed while it saved ckpt-7 may continue with ckpt-8.
        """
        stem = re.sub(r"-[0-9]+$", "", self._base, flags=re.ASCII)
        return bool(
            re.fullmatch(
                re.escape(stem) + r"(-[0-9]+)?\.(index|data|manifest(-[0-9a-f]{16})?)",
                final,
                flags=re.ASCII,
            )
        )
