"""Which storage is meant where none is given."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from checkpointable.storage.interface import Storage
from checkpointable.storage.local import LocalStorage

__all__ = ["default_storage", "use_storage"]

_lock = threading.Lock()
_defaults: list[Storage] = [LocalStorage()]  # the last one counts


def default_storage() -> Storage:
    """The storage that functions use which are given none: the local files, or another one
    within `use_storage`.
    """
    return _defaults[-1]


@contextmanager
def use_storage(storage: Storage) -> Iterator[Storage]:
    """Within the block, checkpoints are written to and read from `storage`.

        with use_storage(storage):
            manager = cp.CheckpointManager(checkpoint, "runs/a", 3)
            manager.save()

    For the whole process, all its threads: a save that goes on in another thread is part of
    the program that started it. What was opened within the block stays with its storage.

    Args:
      storage: any `Storage`.
    """
    with _lock:
        _defaults.append(storage)
    try:
        yield storage
    finally:
        with _lock:
            # From the end: two threads may leave their blocks in any order.
            for place in reversed(range(len(_defaults))):
                if _defaults[place] is storage:
                    del _defaults[place]
                    break
