"""The default storage: the one that functions use if they are called without `storage=`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from checkpointable.storage.interface import Storage
from checkpointable.storage.local import LocalStorage

__all__ = [
    "checked_storage",
    "default_storage",
    "given_path",
    "optional_storage",
    "takes_storage",
    "use_storage",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_LOCAL: tuple[Storage, ...] = (LocalStorage(),)
# The last one is the default. A tuple, because a context must not change its copies.
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


def optional_storage(storage: Storage | None) -> AbstractContextManager[Storage]:
    """Makes `storage` the default storage within a `with` block; None changes nothing.

    Raises:
      TypeError: `storage` is not a `Storage`.
    """
    storage = checked_storage(storage)
    return nullcontext(default_storage()) if storage is None else use_storage(storage)


def checked_storage(storage: Any) -> Storage | None:
    """Returns the value of an option `storage=`.

    Raises:
      TypeError: it is neither a `Storage` nor None.
    """
    if storage is None or isinstance(storage, Storage):
        return storage
    raise TypeError(f"storage must be a cp.abc.Storage or None, not {storage!r}")


def given_path(path: str | os.PathLike[str], storage: Storage | None = None) -> str:
    """Returns a path that a user gave, as the storage takes it: every such path comes here first.

    Args:
      path: the path; for local files it may begin with `~` or `file://`.
      storage: where the path is. None: the default storage.

    Raises:
      CheckpointUnsupportedError: the path is a URL, and the storage is that of local files.
    """
    given: Any = os.fspath(path)  # bytes, from a caller without types: an error elsewhere
    if not isinstance(given, str):
        return cast("str", given)
    return (checked_storage(storage) or default_storage()).path_of(given)


def takes_storage(function: _Function) -> _Function:
    """Decorates a function so that its argument `storage=` is the default storage while it runs."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        with optional_storage(options.get("storage")):
            return function(*arguments, **options)

    return cast("_Function", call)
