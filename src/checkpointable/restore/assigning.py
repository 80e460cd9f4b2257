"""Assigns what a checkpoint holds: into the memory of the values, else as they take it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from checkpointable.common.gc_pause import collector_paused
from checkpointable.errors import CheckpointCorruptError
from checkpointable.restore.writes import write_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.graph.value import Value
    from checkpointable.restore.by_name.parts import Reader
    from checkpointable.restore.progress import RestoreProgress

__all__ = ["assign_values", "key_of"]


def assign_values(
    reader: Reader,
    values: Sequence[tuple[str, Value]],
    verify: Verify,
    uid: int,
    progress: RestoreProgress | None = None,
) -> None:
    """Assigns what `reader` holds under the keys; what fits has been checked by now.

    Where all was to be verified before the first assignment (`verify=True`), it has been.
    Values that an executor acts for are left to it.

    Args:
      uid: that of the restore.
    """
    in_memory: list[tuple[str, Any]] = []
    to_write: list[tuple[str, Value]] = []
    with collector_paused():
        for key, value in values:
            if value.executor is not None:
                continue
            if value.memory is not None:
                in_memory.append((key, value.memory))
            else:
                to_write.append((key, value))
    # First, since this is code that may refuse: filling memory is not.
    with _unverified(verify, "some of the values that are handed over are assigned by now"):
        for written in [to_write] if progress is None else progress.steps(to_write, key_of):
            write_values(reader, written, verify)
    for _, value in to_write:
        value.settle(uid)
    how: Verify = "stream" if verify == "stream" else False
    with _unverified(
        verify, "the values before it in the files are assigned by now, and maybe some after it"
    ):
        for filled in [in_memory] if progress is None else progress.steps(in_memory, key_of):
            reader.read_into(filled, verify=how)
    for _, value in values:
        if value.memory is not None and value.executor is None:
            value.filled()


def key_of(pair: tuple[str, Any]) -> str:
    """The key of a pair of a key and what is read under it."""
    return pair[0]


@contextmanager
def _unverified(verify: Verify, what: str) -> Iterator[None]:
    """Has an error of damage say what was assigned although not all was verified before."""
    try:
        yield
    except CheckpointCorruptError as error:
        if verify is not True:
            error.what += f"; with verify={verify!r} {what}"
        raise
