"""Asynchronous saves: the values are copied first, and written in the background."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from checkpointable.bundle import BundleWriter, Layout, Staging, StagingMemory
from checkpointable.common.locks import ForkSafeLock
from checkpointable.saving.background import LastSave, SaveHandle, start
from checkpointable.saving.saving import WriteSettings, naming_objects

__all__ = ["AsyncSaves"]

_memory: weakref.ref[StagingMemory] | None = None


def _shared_memory() -> StagingMemory:
    """Returns the memory for copies: one per process, kept while a saver that used it exists."""
    global _memory  # noqa: PLW0603 - one a process
    memory = None if _memory is None else _memory()
    if memory is None:
        memory = StagingMemory()
        _memory = weakref.ref(memory)
    return memory


def _after_fork() -> None:
    """Drops the memory, which a save of the parent process may have reserved for ever."""
    global _memory  # noqa: PLW0603
    _memory = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class AsyncSaves:
    """The asynchronous saves of one saver.

    Attributes:
      lock: serializes the saves that number their checkpoints.
    """

    def __init__(self) -> None:
        self.lock = ForkSafeLock()
        self._last = LastSave()
        self._memory: StagingMemory | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncSaves, ()  # a copy of a saver has started no save

    def settle(self) -> None:
        """Waits for the last asynchronous save; raises its error if that was not raised yet.

        Every save of the saver begins with this, asynchronous or not.
        """
        self._last.settle()

    def write(
        self,
        prefix: str,
        path: str,
        layout: Layout,
        settings: WriteSettings,
        *,
        finish: Callable[[str], object] | None = None,
        failed: Callable[[], object] | None = None,
    ) -> SaveHandle:
        """Starts to write the values of `layout` as a checkpoint in the background.

        Returns once the values may change.

        Args:
          prefix: the checkpoint prefix, as the user gave it.
          path: its absolute path, because the program may change its working directory meanwhile.
          finish: called with `path` when the checkpoint is complete.
          failed: called when the save has failed in the background.
        """
        self._memory = memory = _shared_memory()
        handle = SaveHandle(prefix)
        progress = settings.progress

        def advance(done: int, total: int, key: str) -> None:
            handle._advance(done, total, key)
            if progress is not None:
                progress(done, total, key)

        undo = ExitStack()
        # The first to acquire it closes `undo`: the job, or the handler of an interrupt before it.
        ownership = threading.Lock()

        def job() -> None:
            if not ownership.acquire(blocking=False):
                return
            with undo:
                writer.write(progress=advance)
                writer.publish()
            if finish is not None:
                finish(path)

        def guarded() -> None:
            try:
                job()
            except BaseException:
                if failed is not None:
                    failed()
                raise

        try:
            undo.enter_context(memory.taken())
            with naming_objects(layout):
                staging = Staging(layout, settings.max_staging_bytes)
            writer = undo.enter_context(
                BundleWriter(path, layout, settings.durability, signer=settings.signer)
            )
            with naming_objects(layout):
                if staging.direct:
                    writer.write(staging.direct, progress=advance)
                staging.copy(memory)
            del staging
            self._last.started(handle)
            start(handle, guarded)
        except BaseException as error:
            if ownership.acquire(blocking=False):
                handle._abandon(error)
                undo.__exit__(type(error), error, error.__traceback__)
            raise
        return handle
