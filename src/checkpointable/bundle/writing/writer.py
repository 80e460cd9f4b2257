"""Writes a checkpoint: the values, the index, and the manifest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from checkpointable.bundle.format import data_path, index_path, split_prefix
from checkpointable.bundle.index.header import Header
from checkpointable.bundle.writing.commit import Publication
from checkpointable.bundle.writing.hashing import HashedFile
from checkpointable.bundle.writing.index import encode_layout
from checkpointable.bundle.writing.layout import ValueToWrite, make_layout
from checkpointable.bundle.writing.values import write_values
from checkpointable.manifest import FileHashes, Manifest, Signer, encode_manifest, signed_manifest
from checkpointable.manifest.format import UNSIGNED, chunk_size_for
from checkpointable.manifest.tree import leaf_hashes
from checkpointable.storage import (
    Storage,
    WritableFile,
    check_durability,
    default_storage,
)

if TYPE_CHECKING:
    from types import TracebackType

    from checkpointable.bundle.writing.layout import Layout
    from checkpointable.bundle.writing.values import Progress

__all__ = ["BundleWriter", "make_manifest", "write_bundle"]

# The writer that a manifest names: without the version of this package, so that the same values
# give the same bytes with every release (S13).
_WRITER = "checkpointable"


def write_bundle(
    prefix: str | os.PathLike[str],
    values: Iterable[ValueToWrite],
    *,
    durability: str = "fsync",
    storage: Storage | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    signer: Signer | None = None,
    overwrite: bool = True,
) -> None:
    """Writes values as the checkpoint `prefix`; replaces an existing checkpoint.

    The same values give the same bytes, whatever their order (S13). The checkpoint appears as a
    whole when this function returns. If it raises, an existing checkpoint is unchanged, and no
    files are left behind.

    Args:
      prefix: The checkpoint prefix. Missing directories are created.
      values: The values.
      durability: "fsync" returns when the checkpoint would survive a power failure; "flush" leaves
        that to the operating system.
      storage: The storage to write to; None for the default storage.
      threads: The number of threads; None for the number of CPUs, at most 8.
      progress: Called with (bytes done, bytes in total, key) as values are written, in the calling
        thread.
      signer: Signs a manifest, which appears together with the checkpoint; None for no manifest.
      overwrite: If False, a prefix that has a checkpoint is refused, even if that appears during
        the save.

    Raises:
      ValueError: A key is empty or occurs twice, or the prefix ends with a separator.
      CheckpointUnsupportedError: A dtype or a key cannot be stored.
      CheckpointMismatchError: A value is not of the dtype and shape that it declares.
      CheckpointIOError, CheckpointPermissionError: The files cannot be written, or `overwrite` is
        False and the prefix has a checkpoint.
    """
    layout = make_layout(values)
    with BundleWriter(prefix, layout, durability, storage, signer, overwrite=overwrite) as writer:
        writer.write(threads=threads, progress=progress)
        writer.publish()


class BundleWriter:
    """The steps of `write_bundle` one by one, for asynchronous saves.

    A context manager. If the block raises, it removes the files of the failed save.

    Args: As for `write_bundle`, and
      layout: The locations of the values (`make_layout`).
    """

    def __init__(
        self,
        prefix: str | os.PathLike[str],
        layout: Layout,
        durability: str = "fsync",
        storage: Storage | None = None,
        signer: Signer | None = None,
        *,
        overwrite: bool = True,
    ) -> None:
        check_durability(durability)
        path = os.fspath(prefix)
        if not os.path.basename(path):
            raise ValueError(f"{path!r} names a directory; a prefix has a name after it")
        self._layout = layout
        self._prefix = path
        self._durability = durability
        self._signer = signer
        self._chunk_size = chunk_size_for(layout.size)
        self._publication = Publication(
            storage or default_storage(), path, durability, overwrite=overwrite
        )
        self._file: WritableFile | None = None
        self._written = 0

    def write(
        self,
        stop: int | None = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Writes the values that have not been written yet, up to `layout.values[:stop]`."""
        if self._file is None:
            self._file = self._publication.create_data(self._layout.size)
            if self._signer is not None:
                self._file = HashedFile(self._file, self._layout, self._chunk_size)
        start, self._written = self._written, len(self._layout.values) if stop is None else stop
        write_values(
            self._file,
            self._layout,
            start=start,
            stop=self._written,
            threads=threads,
            progress=progress,
            sync_follows=self._durability == "fsync",
        )

    def publish(self) -> None:
        """Makes the values, all of which have been written, the checkpoint of the prefix."""
        layout = self._layout
        self._publication.publish(
            lambda number: encode_layout(Header(num_shards=number), layout),
            None if self._signer is None else self._make_manifest,
        )

    def _make_manifest(self, index: bytes, num_shards: int) -> bytes:
        assert self._signer is not None
        data = []
        if isinstance(self._file, HashedFile) and self._layout.size:
            name = data_path(split_prefix(self._prefix)[1], 0, num_shards)
            data.append(FileHashes(name, self._layout.size, self._file.leaves))
        return make_manifest(self._prefix, index, data, self._chunk_size, self._signer)

    def __enter__(self) -> BundleWriter:
        self._publication.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._publication.__exit__(kind, error, trace)


def make_manifest(
    prefix: str, index: bytes, data: Iterable[FileHashes], chunk_size: int, signer: Signer
) -> bytes:
    """Returns the contents of a manifest.

    Args:
      prefix: The checkpoint prefix.
      index: The contents of the index file.
      data: The hashes of the data files, in the order of their numbers.
      chunk_size: The size of a chunk, in bytes.
      signer: Signs the manifest.
    """
    base = split_prefix(prefix)[1]
    hashes = FileHashes(index_path(base), len(index), leaf_hashes(index, chunk_size))
    manifest = Manifest(base, _WRITER, chunk_size, (hashes, *data), UNSIGNED, "")
    return encode_manifest(signed_manifest(manifest, signer))
