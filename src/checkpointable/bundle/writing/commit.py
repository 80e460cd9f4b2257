"""The steps that make files a checkpoint, in the order that keeps every instant whole.

1. The data is written under a temporary name and made durable.
   (A data file that exists already may serve as it is, under a second name: step 2.)
2. It gets its final name, under a number of shards that the present index does not use, so
   the present checkpoint keeps its data. So does a manifest, if there is to be one: its name
   follows from the new index, so the present checkpoint keeps its own. The directory is made
   durable.
3. The index is written under a temporary name, made durable, and renamed: the one step at
   which the old checkpoint becomes the new one. The directory is made durable.
4. The old data is removed, and the old manifest.

Steps 2 to 4 happen under the lock of the directory, so that two processes which save to one
prefix do so one after the other. A crash leaves the old or the new checkpoint, and beside it
at most temporary files and data files that no index names; the next save of the prefix
removes both.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from types import TracebackType

from checkpointable.bundle.format import data_path, index_path, parse_data_name, split_prefix
from checkpointable.bundle.index.header import Header
from checkpointable.bundle.index.index import load_header
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIOError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.manifest import is_manifest_name, manifest_path
from checkpointable.storage import (
    ReadableFile,
    Storage,
    WritableFile,
    create_temporary,
    default_storage,
    link_or_copy,
    remove_stale,
)

__all__ = ["Publication", "check_target", "exists_already"]


def check_target(
    source: str, target: str, *, overwrite: bool, storage: Storage | None = None
) -> None:
    """Checks that a checkpoint made of another may have the prefix `target`.

    Raises:
      ValueError: it is the other's own.
      CheckpointIOError: it has a checkpoint, and is not to be overwritten.
    """
    storage = storage or default_storage()
    own = storage.identity(index_path(source))
    if own is not None and own == storage.identity(index_path(target)):
        raise ValueError(
            f"{target}: a checkpoint cannot be written over itself: choose another name"
        )
    if not overwrite:
        check_free(storage, target)


def check_free(storage: Storage, prefix: str) -> None:
    """Checks that a prefix has no checkpoint.

    Raises:
      CheckpointIOError
    """
    if storage.exists(index_path(prefix)):
        raise exists_already("a checkpoint", prefix)


def exists_already(what: str, path: str) -> CheckpointIOError:
    """The error for something that is not to be overwritten."""
    return CheckpointIOError(
        f"{what} of this name exists already; overwrite replaces it",
        path=path,
        errno=errno.EEXIST,
    )


class Publication:
    """One save of one prefix; a context manager that removes what a failed one leaves.

    Args:
      durability: "fsync" or "flush"; with "flush" nothing is synced, the order stays.
      overwrite: False refuses a prefix that has a checkpoint.
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
        # Data files under their final names, while no index names them yet.
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
        """The data file, `size` bytes of zeros, for its values to be written into."""
        self._data = create_temporary(self._storage, f"{self._prefix}.data", size)
        return self._data

    def link_data(
        self, source: ReadableFile, progress: Callable[[int], object] | None = None
    ) -> None:
        """Lets a data file that exists be the next shard, before the one of `create_data`.

        Args:
          progress: called with how many of its bytes are there, where it is copied.
        """
        self._linked.append((source, progress))

    def publish(
        self,
        make_index: Callable[[int], bytes],
        make_manifest: Callable[[bytes, int], bytes] | None = None,
    ) -> None:
        """Makes the data and an index for it the checkpoint of the prefix.

        Args:
          make_index: gives the index's contents for a number of shards: those of `link_data`,
            that of `create_data`, and perhaps an empty one.
          make_manifest: gives a manifest's contents for an index's and that number.
        """
        data = self._data
        assert data is not None or self._linked, "create_data or link_data comes first"
        if data is not None:
            self._settle(data)
        guess = self._free_num_shards()
        contents = make_index(guess)
        with self._storage.lock_directory(self._directory):
            self._check_free()
            num_shards = self._free_num_shards()
            if num_shards != guess:  # another process saved in between
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
        storage = self._storage
        shards = range(max(num_shards, self._least_shards()))
        if self._sync and any(
            storage.exists(data_path(self._prefix, shard, num_shards)) for shard in shards
        ):
            # Left by a process that ended before its switch, or the removal of its old data,
            # was durable: until it is, these may belong to what a loss of power brings back.
            storage.sync_directory(self._directory)
        for shard, (source, progress) in enumerate(self._linked):
            path = data_path(self._prefix, shard, num_shards)
            self._renamed.append(path)
            link_or_copy(storage, source, path, sync=self._sync, progress=progress)
        for shard in range(self._least_shards(), num_shards):
            empty = create_temporary(storage, f"{self._prefix}.data", 0)
            try:
                self._settle(empty)
                self._rename_data(empty, shard, num_shards)
            except BaseException:
                empty.abort()
                raise
            empty.close()
        if data is not None:
            self._rename_data(data, len(self._linked), num_shards)
        if manifest is not None:
            self._place_manifest(manifest, manifest_path(self._prefix, contents))
        if self._sync:
            storage.sync_directory(self._directory)
        path = index_path(self._prefix)
        self._index = index = create_temporary(storage, path, len(contents))
        index.write_at(contents, 0)
        self._settle(index)
        storage.rename(index.path, path)
        index.close()
        if self._sync:
            storage.sync_directory(self._directory)

    def _settle(self, file: WritableFile) -> None:
        """Returns when the system can no more refuse what was written."""
        if self._sync:
            file.sync()
        else:
            file.flush()

    def _rename_data(self, file: WritableFile, shard: int, num_shards: int) -> None:
        path = data_path(self._prefix, shard, num_shards)
        self._renamed.append(path)
        self._storage.rename(file.path, path)

    def _place_manifest(self, manifest: bytes, path: str) -> None:
        file = create_temporary(self._storage, f"{self._prefix}.manifest", len(manifest))
        try:
            file.write_at(manifest, 0)
            if self._sync:
                file.sync()
            self._renamed.append(path)
            self._storage.rename(file.path, path)
        except BaseException:
            file.abort()
            raise
        file.close()

    def _take_back(self, num_shards: int) -> None:
        """Removes data under final names, unless the index names it after all.

        It does when the trouble came after the switch: a sync that failed, an interrupt.
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
                pass  # it was not renamed yet, or the disk refuses that as well

    def _least_shards(self) -> int:
        return len(self._linked) + (self._data is not None)

    def _free_num_shards(self) -> int:
        """A number of data files, mostly 1 or 2, that the present index does not use."""
        header = self._present_header()
        least = self._least_shards()
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
            return None  # it names no checkpoint that could be kept

    def _remove_old_files(self, num_shards: int, index_with_manifest: bytes | None) -> None:
        """Removes data files and manifests that are not the index's; one that resists stays.

        Args:
          index_with_manifest: the index's contents, if it has a manifest.
        """
        own = None
        if index_with_manifest is not None:
            own = os.path.basename(manifest_path(self._prefix, index_with_manifest))
        try:
            for name in self._storage.list(self._directory):
                parsed = parse_data_name(name, self._base)
                old_data = parsed is not None and parsed[1] != num_shards
                if old_data or (name != own and is_manifest_name(name, self._base)):
                    self._storage.delete(os.path.join(self._directory, name))
        except CheckpointError:
            return

    def _is_ours(self, final: str) -> bool:
        """Whether a final name is one of this prefix, or of the same under another number.

        A program that was killed while it saved ckpt-7 may go on with ckpt-8.
        """
        stem = re.sub(r"-[0-9]+$", "", self._base, flags=re.ASCII)
        return bool(
            re.fullmatch(
                re.escape(stem) + r"(-[0-9]+)?\.(index|data|manifest(-[0-9a-f]{16})?)",
                final,
                flags=re.ASCII,
            )
        )
