"""Helpers of the conformance tests of storages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from checkpointable.errors import CheckpointError
from checkpointable.storage import Storage

__all__ = ["THREADS", "get", "put", "raises", "run_in_threads"]

THREADS = 4


@contextmanager
def raises(kind: type[CheckpointError], path: str) -> Iterator[None]:
    """Checks that the block raises an error of `kind` whose text contains `path`."""
    raised: CheckpointError | None = None
    try:
        yield
    except CheckpointError as error:
        raised = error
    assert isinstance(raised, kind), f"expected {kind.__name__}, got {raised!r}"
    assert path in str(raised), f"the error does not name {path!r}: {raised}"


def put(storage: Storage, path: str, contents: bytes) -> None:
    """Writes a new file."""
    file = storage.create(path, len(contents))
    file.write_at(contents, 0)
    file.close()


def get(storage: Storage, path: str) -> bytes:
    """Reads a whole file."""
    with storage.open(path) as file:
        return file.read(0, file.size)


def run_in_threads(work: Callable[[int], None], first: int = 0) -> None:
    """Calls `work` with the numbers `first` to `THREADS - 1`, each in a thread, and waits."""
    threads = [Thread(target=work, args=(number,)) for number in range(first, THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
