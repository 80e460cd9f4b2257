"""Checkpoint: named objects saved together, numbered as they are saved (S15)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from checkpointable.common.types import Durability, Path, Progress
from checkpointable.common.working_directory import absolute_path
from checkpointable.directory.latest import update_checkpoint_state
from checkpointable.graph.registry import adapter_of
from checkpointable.manifest import Key, signer_of
from checkpointable.savers.restoring import plan_objects, restore_objects
from checkpointable.savers.save_counter import COUNTER, counter_beside, counter_of, usable_counter
from checkpointable.saving.async_saving import AsyncSaves, check_blocking
from checkpointable.saving.numbering import numbered_prefix
from checkpointable.tracking.base import Checkpointable, NoDependency, wrap
from checkpointable.tracking.variable import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Unpack

    from checkpointable.report import Report
    from checkpointable.restore import Names, Verify
    from checkpointable.saving.async_saving import WriteOptions
    from checkpointable.saving.background import SaveHandle
    from checkpointable.status import LoadStatus

__all__ = ["Checkpoint"]


class Checkpoint(Checkpointable):
    """Groups objects under names, saves and restores them.

        ckpt = cp.Checkpoint(model=model, optimizer=optimizer)
        ckpt.restore(cp.latest_checkpoint("runs/a"))
        …
        ckpt.save("runs/a/ckpt")                  # runs/a/ckpt-1, then -2, …

    Args:
      root: this object becomes the root itself, and `objects` are attached to it for saving
        without being assigned to it.
      objects: what to save; tracked in sorted order of their names, as TensorFlow does.

    Raises:
      ValueError: an object takes no part in checkpointing; a name is taken by a method of
        this class or, with `root`, by another dependency of the root.
    """

    def __init__(self, root: Any = None, **objects: Any) -> None:
        for name in objects:
            if hasattr(Checkpoint, name):
                raise ValueError(f"{name!r} is a name of Checkpoint's own: choose another")
        self._counter: Any = None
        self._attached: list[tuple[str, Any]] | None = None
        if root is not None:
            root = wrap(root)
            _check_trackable(root, "root")
            objects["root"] = root  # an edge of its own, as TensorFlow writes it
            # Past tracking, as below: what is attached must stay the list that it is.
            self.__dict__["_attached"] = attached = []
        for name, value in sorted(objects.items()):
            setattr(self, name, value)
            if isinstance(value, NoDependency):
                continue
            own = getattr(self, name)
            _check_trackable(own, name)
            if root is None:
                continue
            existing = _dependency(root, name)
            if existing is None:
                attached.append((name, own))
            elif existing is not own:
                raise ValueError(
                    f"Checkpoint: the name {name!r} is taken, since the root has another "
                    "dependency of that name"
                )
        counter = None if root is None else usable_counter(root)
        if counter is not None:
            self._counter = NoDependency(counter)

    @property
    def save_counter(self) -> Variable:
        """How many times `save` has saved: an int64 variable, saved and restored too.

        Made by the first `save`, `restore` or access.
        """
        if self._counter is None:
            if self._attached is None:
                made = counter_of(self)
            else:
                made = counter_beside(self._target, self._attached)
            self._counter = NoDependency(made)  # it has its name already
        counter: Variable = self.__dict__["_counter"]
        return counter

    @property
    def _saves(self) -> AsyncSaves:
        saves: AsyncSaves | None = self.__dict__.get("_async_saves")
        if saves is None:  # of two threads that come here both get the same
            saves = self.__dict__.setdefault("_async_saves", AsyncSaves())
        return saves

    @property
    def _target(self) -> Any:
        """The root of what is saved."""
        return self if self._attached is None else self.__dict__["root"]

    def _extra(self) -> Sequence[tuple[str, Any]]:
        """The attached dependencies; the list itself, since the counter may come later."""
        return () if self._attached is None else self._attached

    @overload
    def save(
        self,
        file_prefix: Path,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
        blocking: Literal[True] = True,
        max_staging_bytes: int | None = None,
        manifest: bool | Key = False,
    ) -> str: ...

    @overload
    def save(
        self,
        file_prefix: Path,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
        blocking: bool,
        max_staging_bytes: int | None = None,
        manifest: bool | Key = False,
    ) -> str | SaveHandle: ...

    def save(
        self,
        file_prefix: Path,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
        blocking: bool = True,
        max_staging_bytes: int | None = None,
        manifest: bool | Key = False,
    ) -> str | SaveHandle:
        """Writes `<file_prefix>-<number>`, the directory's latest checkpoint (S14, S15).

        Of several threads one saves after the other.

        Args: as in `CheckpointableSaver.save`.

        Returns:
          The checkpoint's full path, to be given to `restore`; a `SaveHandle` if not `blocking`.
          (The number of an asynchronous save that fails later is not used again.)
        """
        if isinstance(session, int | np.integer):
            raise TypeError(
                f"Checkpoint.save numbers checkpoints itself, by its save_counter; got {session!r} "
                "as the session. CheckpointableSaver.save takes a number"
            )
        check_blocking(blocking, max_staging_bytes)
        signer = signer_of(manifest)

        def make_latest(path: str) -> None:
            update_checkpoint_state(os.path.dirname(path), path, durability=durability)

        with self._saves.lock:  # of several threads each has a number of its own
            self._saves.settle()
            counter = self.save_counter
            counter.assign_add(1)
            try:
                prefix = numbered_prefix(file_prefix, counter)
                path = absolute_path(prefix)
                saved = self._write(
                    prefix,
                    session,
                    durability=durability,
                    progress=progress,
                    blocking=blocking,
                    max_staging_bytes=max_staging_bytes,
                    signer=signer,
                    finish=make_latest,
                )
            except BaseException:
                counter.assign_add(-1)  # what was not saved does not count
                raise
            if isinstance(saved, str):
                make_latest(path)
            return saved

    @overload
    def write(
        self,
        file_prefix: Path,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
        blocking: Literal[True] = True,
        max_staging_bytes: int | None = None,
        manifest: bool | Key = False,
    ) -> str: ...

    @overload
    def write(
        self,
        file_prefix: Path,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
        blocking: bool,
        max_staging_bytes: int | None = None,
        manifest: bool | Key = False,
    ) -> str | SaveHandle: ...

    def write(
        self,
        file_prefix: Path,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
        blocking: bool = True,
        max_staging_bytes: int | None = None,
        manifest: bool | Key = False,
    ) -> str | SaveHandle:
        """Writes the checkpoint `file_prefix`: no number, no state file (S15).

        Args: as in `CheckpointableSaver.save`.

        Returns:
          `file_prefix`, to be given to `read`; a `SaveHandle` if not `blocking`.
        """
        check_blocking(blocking, max_staging_bytes)
        self._saves.settle()
        return self._write(
            numbered_prefix(file_prefix, None),
            session,
            durability=durability,
            progress=progress,
            blocking=blocking,
            max_staging_bytes=max_staging_bytes,
            signer=signer_of(manifest),
        )

    def _write(
        self, prefix: str, session: Any, **options: Unpack[WriteOptions]
    ) -> str | SaveHandle:
        return self._saves.write(self._target, self._extra(), prefix, session, **options)

    def restore(
        self,
        save_path: Path | None,
        *,
        renames: Mapping[str, str] | None = None,
        names: Names | None = None,
        prefix: str | None = None,
        verify: Verify = True,
        progress: Progress | None = None,
        key: Key | None = None,
    ) -> LoadStatus:
        """Restores what `save` wrote, the counter included; see `CheckpointableSaver.restore`."""
        # Made before, so that its value is checked with all others before any is assigned (S25).
        _ = self.save_counter
        return self.read(
            save_path,
            renames=renames,
            names=names,
            prefix=prefix,
            verify=verify,
            progress=progress,
            key=key,
        )

    def read(
        self,
        save_path: Path | None,
        *,
        renames: Mapping[str, str] | None = None,
        names: Names | None = None,
        prefix: str | None = None,
        verify: Verify = True,
        progress: Progress | None = None,
        key: Key | None = None,
    ) -> LoadStatus:
        """Restores what `write` wrote: neither makes nor demands a counter (S15).

        Args, errors: as `CheckpointableSaver.restore`.
        """
        return restore_objects(
            self._target,
            save_path,
            attached=self._extra(),
            renames=renames,
            names=names,
            prefix=prefix,
            optional=(COUNTER,),  # files that are not ours do not count our saves
            verify=verify,
            progress=progress,
            key=key,
        )

    def plan(
        self,
        save_path: Path,
        *,
        renames: Mapping[str, str] | None = None,
        key: Key | None = None,
    ) -> Report:
        """What `restore` would do: matches, but reads and assigns no value (S31).

        The counter counts as it would in a `restore`, but is not made.
        """
        attached = list(self._extra())
        if self._counter is None:  # a restore makes it: here one stands in for it
            attached.append((COUNTER, Variable(0, dtype=np.int64)))
        return plan_objects(self._target, save_path, attached=attached, renames=renames, key=key)


def _dependency(obj: Any, name: str) -> Any | None:
    adapter = adapter_of(obj)
    assert adapter is not None
    return adapter.child(obj, name)


def _check_trackable(value: Any, name: str) -> None:
    if adapter_of(value) is None:
        is_array = isinstance(value, np.ndarray)
        advice = "; cp.Variable says that an array is state" if is_array else ""
        raise ValueError(
            f"Checkpoint: {name!r} is a {type(value).__name__}, which takes no part in "
            f"checkpointing{advice}"
        )
