"""The default storage: the one that functions use if they are called without `storage=`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from checkpointable.storage.interface import Storage
from checkpointable.storage.local import LocalStorage

__all__ = ["default_storage", "use_storage"]

_LOCAL: tuple[Storage, ...] = (LocalStorage(),)
# The last one is the default. A tuple, since a context must not change those copied from it.
_defaults: ContextVar[tuple[Storage, ...]] = ContextVar("checkpointable_storage", default=_LOCAL)


def default_storage() -> Storage:
    """Returns the storage of the innermost `use_storage` block, or else the local files.

    The result depends on the context (`contextvars`) of the caller. Code that runs later, or in
    another thread, must be given the storage or run in a copy of the context.
    """
    return _defaults.get()[-1]


@contextmanager
def use_storage(storage: Storage) -> Iterator[Storage]:
    """Makes `storage` the default storage within a `with` block.

    The setting is a context variable: it holds for this thread, or this asyncio task, and for
    saves that are started here and continue in the background, even after the block has ended.
    A thread that you start yourself begins with the local files. To pass the setting on, run the
    thread's function in a copy of the context::

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,)).start()

    Readers and deferred restores keep the storage that they were opened with.

    Args:
      storage: Where checkpoints are written to and read from.

    Yields:
      `storage`.

    Example:
      >>> with use_storage(storage):
      ...     manager = cp.CheckpointManager(checkpoint, "runs/a", 3)
      ...     manager.save()
    """
    _defaults.set((*_defaults.get(), storage))
    try:
        yield storage
    finally:
        # Blocks may end in any order; a block that ends in another context has no effect there.
        defaults = _defaults.get()
        for position in reversed(range(1, len(defaults))):
            if defaults[position] is storage:
                _defaults.set(defaults[:position] + defaults[position + 1 :])
                break
