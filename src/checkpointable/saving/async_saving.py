"""The saves of one saver; what an asynchronous one writes is as it was when `save` was called."""

from __future__ import annotations

import operator
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from checkpointable.bundle import BundleWriter, Layout, Staging, StagingMemory
from checkpointable.common.locks import ForkSafeLock
from checkpointable.common.types import Attached, Durability, Progress
from checkpointable.common.working_directory import absolute_path
from checkpointable.manifest import Signer
from checkpointable.saving.background import LastSave, SaveHandle, start
from checkpointable.saving.saving import layout_of_objects, naming_objects, write_objects

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AsyncSaves", "WriteOptions", "check_blocking"]

_memory: weakref.ref[StagingMemory] | None = None


def _shared_memory() -> StagingMemory:
    """The memory for copies: one of the process, kept as long as a saver that has used it."""
    global _memory  # noqa: PLW0603 - one a process
    memory = None if _memory is None else _memory()
    if memory is None:
        memory = StagingMemory()
        _memory = weakref.ref(memory)
    return memory


def _after_fork() -> None:
    """A save of the parent may hold the memory, and will never let go of it here."""
    global _memory  # noqa: PLW0603
    _memory = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _SaveOptions(TypedDict):
    durability: Durability
    progress: Progress | None
    blocking: bool
    max_staging_bytes: int | None


class WriteOptions(_SaveOptions, total=False):
    """Options of `CheckpointableSaver.save`, and what goes with them.

    Attributes:
      signer: of the manifest; None: there is none.
      finish: of a save that is not blocking: called with its absolute path when it is there.
      failed: called when such a save has failed.
    """

    signer: Signer | None
    finish: Callable[[str], object]
    failed: Callable[[], object]


def check_blocking(blocking: Any, max_staging_bytes: Any) -> None:
    """Checks two options of `save`: what is misspelt must not mean the other way of saving.

    Raises:
      ValueError: `blocking` is neither True nor False; `max_staging_bytes` is negative.
      TypeError: `max_staging_bytes` is no integer.
    """
    if not isinstance(blocking, bool | np.bool_):
        raise ValueError(  # noqa: TRY004 - as `verify=` does: a wrong value, whatever its type
            f"blocking is {blocking!r}; it must be True (the checkpoint is there when save "
            "returns) or False (a SaveHandle)"
        )
    if max_staging_bytes is None:
        return
    try:
        size = operator.index(max_staging_bytes)
    except TypeError:
        raise TypeError(
            f"max_staging_bytes is {max_staging_bytes!r}; it is a whole number of bytes, or None "
            "for no limit"
        ) from None
    if size < 0:
        raise ValueError(f"max_staging_bytes is {max_staging_bytes}; it cannot be negative")


class AsyncSaves:
    """The saves of one saver.

    Attributes:
      lock: who holds it is the only one that saves, where that matters.
    """

    def __init__(self) -> None:
        self.lock = ForkSafeLock()
        self._last = LastSave()
        self._memory: StagingMemory | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncSaves, ()  # a copied saver has started none

    def settle(self) -> None:
        """Waits for the last one, and raises its error if nobody has seen it.

        Every save of the saver begins with this, asynchronous or not.
        """
        self._last.settle()

    def write(
        self,
        root: Any,
        attached: Attached,
        prefix: str,
        session: Any,
        **options: Unpack[WriteOptions],
    ) -> str | SaveHandle:
        """Writes the objects below `root` as the checkpoint `prefix`, now or in the background.

        Args:
          attached: further dependencies of the root that it does not track itself.
        """
        if not options["blocking"]:
            return self.save(
                prefix,
                layout_of_objects(root, attached, session),
                durability=options["durability"],
                progress=options["progress"],
                max_staging_bytes=options["max_staging_bytes"],
                signer=options.get("signer"),
                finish=options.get("finish"),
                failed=options.get("failed"),
            )
        write_objects(
            root,
            prefix,
            attached=attached,
            session=session,
            durability=options["durability"],
            progress=options["progress"],
            signer=options.get("signer"),
        )
        return prefix

    def save(
        self,
        prefix: str,
        layout: Layout,
        *,
        durability: Durability,
        progress: Progress | None,
        max_staging_bytes: int | None,
        signer: Signer | None = None,
        finish: Callable[[str], object] | None = None,
        failed: Callable[[], object] | None = None,
    ) -> SaveHandle:
        """Writes a layout as the checkpoint `prefix`, in the background where that can be.

        Returns once the values may change.

        Args:
          signer: of the manifest; None: there is none.
          finish: called, with the checkpoint's absolute path, when it is there.
          failed: called when the save has failed in the background.
        """
        # The program may go to another directory meanwhile.
        path = absolute_path(prefix)
        self._memory = memory = _shared_memory()
        handle = SaveHandle(prefix)

        def advance(done: int, total: int, key: str) -> None:
            handle._advance(done, total, key)
            if progress is not None:
                progress(done, total, key)

        undo = ExitStack()
        # Whoever gets it has `undo`: the job, or what interrupts us on the way to it.
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
                staging = Staging(layout, max_staging_bytes)
            writer = undo.enter_context(BundleWriter(path, layout, durability, signer=signer))
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
