"""The description of a file format: how it is recognized, and how it is opened.

`readers.opening.FORMATS` lists the formats.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from checkpointable.bundle.format import index_path

if TYPE_CHECKING:
    from checkpointable.bundle.reading.targets import Mapped
    from checkpointable.manifest import Verifier
    from checkpointable.readers.reader import CheckpointReader
    from checkpointable.storage import Storage

__all__ = ["START_SIZE", "Candidate", "Format", "OpenOptions"]

START_SIZE = 512
"""The number of bytes of a file that formats are recognized by."""


class OpenOptions(NamedTuple):
    """Options for opening a checkpoint.

    Attributes:
      mmap: As for `load_checkpoint`.
      verifier: Verifies the manifest; formats without manifests have been refused before.
      damaged: Also open a checkpoint whose data files are missing or too short.
    """

    mmap: Mapped = False
    verifier: Verifier | None = None
    damaged: bool = False


class Candidate:
    """A path that is to be opened, and the first bytes of the file there.

    Args:
      path: A checkpoint prefix or the path of a file; not a directory.
      storage: The storage of the file.
    """

    def __init__(self, path: str, storage: Storage) -> None:
        self.path = path
        self.storage = storage

    @functools.cached_property
    def has_index(self) -> bool:
        """True if the path is the prefix of a bundle."""
        return self.storage.exists(index_path(self.path))

    @functools.cached_property
    def is_file(self) -> bool:
        """True if there is a file at the path itself."""
        return self.storage.exists(self.path) and not self.storage.is_directory(self.path)

    @property
    def start(self) -> bytes:
        """The first `START_SIZE` bytes of the file; empty if there is no file."""
        return self._start_and_size[0]

    @property
    def size(self) -> int:
        """The size of the file in bytes; 0 if there is no file."""
        return self._start_and_size[1]

    @functools.cached_property
    def _start_and_size(self) -> tuple[bytes, int]:
        if not self.is_file:
            return b"", 0
        with self.storage.open(self.path) as file:
            return bytes(file.read(0, min(START_SIZE, file.size))), file.size


class Format(NamedTuple):
    """A format of checkpoints or tensor files.

    Attributes:
      name: The name, for messages and documentation.
      matches: Whether a candidate has this format, by its content.
      open: Opens a candidate of this format.
      endings: Endings of file names. A file whose content matches no format is opened as the
        format of its ending, so that the error names the damage.
    """

    name: str
    matches: Callable[[Candidate], bool]
    open: Callable[[Candidate, OpenOptions], CheckpointReader]
    endings: tuple[str, ...] = ()
