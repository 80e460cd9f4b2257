"""Checkpoint: named objects saved together, numbered as they are saved (S15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.adapters.given import check_state
from checkpointable.common.deprecation import renamed_options
from checkpointable.common.types import Path
from checkpointable.graph.registry import adapter_of
from checkpointable.manifest import Key
from checkpointable.savers.object_saver import ObjectSaver
from checkpointable.savers.options import (
    AsyncSaveOptions,
    RestoreOptions,
    SaveOptions,
    takes_blocking,
    write_settings,
)
from checkpointable.savers.save_counter import COUNTER, counter_beside, counter_of, usable_counter
from checkpointable.saving.async_saving import AsyncSaves
from checkpointable.saving.numbering import numbered_prefix
from checkpointable.storage import Storage
from checkpointable.tracking.base import Checkpointable, NoDependency, wrap
from checkpointable.tracking.dependencies import dependencies_of
from checkpointable.tracking.given import GivenValue, is_plain
from checkpointable.tracking.variable import Variable

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from checkpointable.report import Report
    from checkpointable.saving.background import SaveHandle
    from checkpointable.status import LoadStatus

__all__ = ["Checkpoint"]


class Checkpoint(Checkpointable):
    """Saves and restores named objects together.

    Example:
        ckpt = cp.Checkpoint(model=model, optimizer=optimizer)
        ckpt.restore(cp.latest_checkpoint("runs/a"))
        …
        ckpt.save("runs/a/ckpt")                  # runs/a/ckpt-1, then -2, …

    Args:
      root: the root of the object graph. `objects` are saved as its dependencies, but not assigned
        to it. None: this checkpoint itself is the root.
      storage: where checkpoints are written to and read from. None: the default storage, which
        `use_storage` sets.
      objects: the objects to save, by name; tracked in the sorted order of their names, as in
        TensorFlow.

    Raises:
      ValueError: an object cannot be saved, or a name is that of a method of this class or, with
        `root`, of another dependency of the root.
      TypeError: `storage` is not a `Storage`.
    """

    def __init__(self, root: Any = None, *, storage: Storage | None = None, **objects: Any) -> None:
        if storage is not None and not isinstance(storage, Storage):
            raise TypeError(
                f"Checkpoint: storage= must be a cp.abc.Storage, not a {type(storage).__name__}; "
                "to save an object under this name, assign it: checkpoint.storage = …"
            )
        self.__dict__["_storage"] = storage  # without tracking: it is not a dependency
        for name in objects:
            if hasattr(Checkpoint, name):
                raise ValueError(
                    f"Checkpoint: {name!r} is an attribute of this class; choose another name"
                )
        self._counter: Any = None
        self._attached: list[tuple[str, Any]] | None = None
        if root is not None:
            root = wrap(root)
            _check_trackable(root, "root")
            objects["root"] = root  # an edge named "root", as TensorFlow writes it
            # Set without tracking, which would replace the list by a tracked one.
            self.__dict__["_attached"] = attached = []
        for name, value in sorted(objects.items()):
            if isinstance(value, NoDependency):
                setattr(self, name, value)
                continue
            tracked = self._given(name, value) if is_plain(value) else value
            if tracked is value:
                setattr(self, name, value)
            if root is None:
                continue
            existing = _dependency(root, name)
            if existing is None:
                attached.append((name, tracked))
            elif existing is not tracked:
                raise ValueError(
                    f"Checkpoint: the root already has another dependency named {name!r}"
                )
        counter = None if root is None else usable_counter(root)
        if counter is not None:
            self._counter = NoDependency(counter)

    def _given(self, name: str, value: Any) -> GivenValue:
        """Assigns a plain value, which is saved from now on; returns its `GivenValue`."""
        self.__dict__[name] = value  # without tracking, which would wrap a container
        given = GivenValue(self.__dict__, name)
        try:
            check_state(given)
        except ValueError as error:
            raise ValueError(f"Checkpoint: {name!r} cannot be saved: {error}") from error
        dependencies_of(self).by_name[name] = given
        return given

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(dependencies_of(self).by_name.get(name), GivenValue) and is_plain(value):
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def save_counter(self) -> Variable:
        """The number of saves so far: an int64 variable, which is saved and restored too.

        Created by the first `save`, `restore` or access.
        """
        if self._counter is None:
            if self._attached is None:
                made = counter_of(self)
            else:
                made = counter_beside(self._target, self._attached)
            self._counter = NoDependency(made)  # it has this name already
        counter: Variable = self.__dict__["_counter"]
        return counter

    @property
    def _saves(self) -> AsyncSaves:
        saves: AsyncSaves | None = self.__dict__.get("_async_saves")
        if saves is None:  # concurrent callers get the same one
            saves = self.__dict__.setdefault("_async_saves", AsyncSaves())
        return saves

    @property
    def _target(self) -> Any:
        """The root of the saved objects."""
        return self if self._attached is None else self.__dict__["root"]

    def _extra(self) -> Sequence[tuple[str, Any]]:
        """The attached dependencies; the list itself, because the counter may be added later."""
        return () if self._attached is None else self._attached

    @property
    def _objects(self) -> ObjectSaver:
        # A file without an object graph, which another program wrote, counts no saves.
        storage = self.__dict__.get("_storage")
        return ObjectSaver(self._target, self._saves, self._extra(), (COUNTER,), storage)

    @renamed_options(manifest="sign_with")
    @takes_blocking
    def save(self, file_prefix: Path, session: Any = None, **options: Unpack[SaveOptions]) -> str:
        """Writes `<file_prefix>-<number>` and makes it the latest checkpoint (S14, S15).

        Concurrent saves are serialized, so that each has its number.

        Args:
          file_prefix, session, options: as in `CheckpointableSaver.save`.

        Returns:
          The checkpoint prefix, to pass to `restore`.

        Raises: as `CheckpointableSaver.save`.
        """
        _refuse_number(session)
        settings = write_settings("Checkpoint.save", options, SaveOptions)
        with self._saves.lock:
            with self._counted(file_prefix) as prefix:
                path = self._objects.write(prefix, session, settings)
            self._objects.make_latest(path, settings)
            return prefix

    @renamed_options(manifest="sign_with")
    def save_async(
        self, file_prefix: Path, session: Any = None, **options: Unpack[AsyncSaveOptions]
    ) -> SaveHandle:
        """Saves `<file_prefix>-<number>` in the background, see `CheckpointableSaver.save_async`.

        The number of a save that fails in the background is not used again.

        Args:
          file_prefix, session, options: as in `CheckpointableSaver.save_async`.

        Returns:
          A handle to wait for the checkpoint.
        """
        _refuse_number(session)
        settings = write_settings("Checkpoint.save_async", options, AsyncSaveOptions)
        with self._saves.lock, self._counted(file_prefix) as prefix:
            return self._objects.save_async(prefix, session, settings)

    @contextmanager
    def _counted(self, file_prefix: Path) -> Iterator[str]:
        """Counts a save, and yields its prefix. A save that fails in the block is not counted."""
        self._saves.settle()
        counter = self.save_counter
        counter.assign_add(1)
        try:
            yield numbered_prefix(file_prefix, counter, storage=self._objects.storage)
        except BaseException:
            counter.assign_add(-1)
            raise

    @renamed_options(manifest="sign_with")
    @takes_blocking
    def write(self, file_prefix: Path, session: Any = None, **options: Unpack[SaveOptions]) -> str:
        """Writes the checkpoint `file_prefix`, without a number and without a state file (S15).

        Args:
          file_prefix: the checkpoint prefix.
          session, options: as in `CheckpointableSaver.save`.

        Returns:
          `file_prefix`, to pass to `read`.
        """
        settings = write_settings("Checkpoint.write", options, SaveOptions)
        prefix = numbered_prefix(file_prefix, None, storage=self._objects.storage)
        self._saves.settle()
        self._objects.write(prefix, session, settings)
        return prefix

    @renamed_options(manifest="sign_with")
    def write_async(
        self, file_prefix: Path, session: Any = None, **options: Unpack[AsyncSaveOptions]
    ) -> SaveHandle:
        """Writes the checkpoint `file_prefix` in the background; see `write` and `save_async`."""
        settings = write_settings("Checkpoint.write_async", options, AsyncSaveOptions)
        prefix = numbered_prefix(file_prefix, None, storage=self._objects.storage)
        self._saves.settle()
        return self._objects.write_async(prefix, session, settings)

    @renamed_options(key="trusted_key", prefix="module")
    def restore(self, save_path: Path | None, **options: Unpack[RestoreOptions]) -> LoadStatus:
        """Restores a checkpoint that `save` wrote, including the save counter.

        Args, Returns, Raises: as `CheckpointableSaver.restore`.
        """
        # Created before, so that its value is checked with all others before any is assigned (S25).
        _ = self.save_counter
        return self._objects.restore("Checkpoint.restore", save_path, options)

    @renamed_options(key="trusted_key", prefix="module")
    def read(self, save_path: Path | None, **options: Unpack[RestoreOptions]) -> LoadStatus:
        """Restores a checkpoint that `write` wrote; neither creates nor requires a counter (S15).

        Args, Returns, Raises: as `CheckpointableSaver.restore`.
        """
        return self._objects.restore("Checkpoint.read", save_path, options)

    @renamed_options(key="trusted_key")
    def plan(
        self,
        save_path: Path,
        *,
        renames: Mapping[str, str] | None = None,
        trusted_key: Key | None = None,
    ) -> Report:
        """Reports what `restore` would do, without reading or assigning a value (S31).

        The report includes the save counter as `restore` would create it.

        Args, Returns, Raises: as `CheckpointableSaver.plan`.
        """
        objects = self._objects
        if self._counter is None:  # `restore` would create it: this one stands in for it
            stand_in = (COUNTER, Variable(0, dtype=np.int64))
            objects = objects._replace(attached=[*objects.attached, stand_in])
        return objects.plan(save_path, renames, trusted_key)


def _refuse_number(session: Any) -> None:
    if isinstance(session, int | np.integer):
        raise TypeError(
            f"Checkpoint.save takes no checkpoint number, because its save_counter counts; got "
            f"{session!r} as the session. CheckpointableSaver.save takes a number"
        )


def _dependency(obj: Any, name: str) -> Any | None:
    adapter = adapter_of(obj)
    assert adapter is not None
    return adapter.child(obj, name)


def _check_trackable(value: Any, name: str) -> None:
    if adapter_of(value) is None:
        raise ValueError(
            f"Checkpoint: {name!r} is of type {type(value).__name__}, which has no dependencies"
        )
