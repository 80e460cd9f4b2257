"""Checkpoint: named objects saved together, numbered as they are saved (S15)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from checkpointable.adapters.registry import adapter_of
from checkpointable.async_saving import AsyncSaves
from checkpointable.graph.adapter import resolve_pending
from checkpointable.graph.value import Value
from checkpointable.loading import plan_objects, restore_objects
from checkpointable.management import update_checkpoint_state
from checkpointable.manifest import Key, Signer, signer_of
from checkpointable.numbering import numbered_prefix
from checkpointable.options import Durability, Path, Progress
from checkpointable.saving import plan_of_objects, write_objects
from checkpointable.tracking.add_variable import add_variable
from checkpointable.tracking.base import Checkpointable, NoDependency, wrap
from checkpointable.tracking.variable import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from checkpointable.background import SaveHandle
    from checkpointable.report import Report
    from checkpointable.restore import Names, Verify
    from checkpointable.status import LoadStatus

__all__ = ["Checkpoint"]

_COUNTER = "save_counter"


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
        counter = None if root is None else _dependency(root, _COUNTER)
        if _can_count(counter):
            self._counter = NoDependency(counter)

    @property
    def save_counter(self) -> Variable:
        """How many times `save` has saved: an int64 variable, saved and restored too.

        Made by the first `save`, `restore` or access.
        """
        if self._counter is None:
            if self._attached is None:
                counter = _dependency(self, _COUNTER)  # an interrupt came before it was noted
                if counter is None:
                    counter = add_variable(self, _COUNTER, dtype=np.int64, initializer=0)
            else:
                counter = self._attached_counter()
            # NoDependency: it has its name already.
            self._counter = NoDependency(counter)
        counter_made: Variable = self.__dict__["_counter"]
        return counter_made

    def _attached_counter(self) -> Variable:
        """The counter beside a root that must not be changed; a restore may wait for it."""
        assert self._attached is not None
        adapter = adapter_of(self._target)
        assert adapter is not None
        counter = Variable(0, name=_COUNTER, dtype=np.int64)
        self._attached.append((_COUNTER, counter))
        resolve_pending(adapter.record(self._target), _COUNTER, counter)
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
        signer = signer_of(manifest)

        def make_latest(path: str) -> None:
            update_checkpoint_state(os.path.dirname(path), path, durability=durability)

        with self._saves.lock:  # of several threads each has a number of its own
            self._saves.settle()
            counter = self.save_counter
            counter.assign_add(1)
            try:
                saved = self._write(
                    numbered_prefix(file_prefix, counter),
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
                make_latest(saved)
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
        self,
        prefix: str,
        session: Any,
        *,
        durability: Durability,
        progress: Progress | None,
        blocking: bool,
        max_staging_bytes: int | None,
        signer: Signer | None = None,
        finish: Callable[[str], object] | None = None,
        failed: Callable[[], object] | None = None,
    ) -> str | SaveHandle:
        """Writes the checkpoint `prefix`.

        Args:
          signer: of the manifest; None: there is none.
          finish: of a save that is not blocking: called with its path when it is there.
          failed: called when such a save has failed.
        """
        if not blocking:
            return self._saves.save(
                prefix,
                plan_of_objects(self._target, self._extra(), session),
                durability=durability,
                progress=progress,
                max_staging_bytes=max_staging_bytes,
                signer=signer,
                finish=finish,
                failed=failed,
            )
        write_objects(
            self._target,
            prefix,
            attached=self._extra(),
            session=session,
            durability=durability,
            progress=progress,
            signer=signer,
        )
        return prefix

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
            optional=(_COUNTER,),  # files that are not ours do not count our saves
            verify=verify,
            progress=progress,
            key=key,
        )

    def plan(self, save_path: Path, *, renames: Mapping[str, str] | None = None) -> Report:
        """What `restore` would do: matches, but reads and assigns no value (S31).

        The counter counts as it would in a `restore`, but is not made.
        """
        attached = list(self._extra())
        if self._counter is None:  # a restore makes it: here one stands in for it
            attached.append((_COUNTER, Variable(0, dtype=np.int64)))
        return plan_objects(self._target, save_path, attached=attached, renames=renames)


def _can_count(counter: Any) -> bool:
    """Whether something that a root has under the counter's name is one, of any framework."""
    adapter = adapter_of(counter)
    if adapter is None or not hasattr(counter, "assign_add"):
        return False
    values = adapter.values(counter).values()
    # A variable of a graph would need a session to be counted up.
    return not any(isinstance(value, Value) and value.executor is not None for value in values)


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
