"""CheckpointableSaver: saves the graph of objects below a root, and restores it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
from checkpointable.saving.async_saving import AsyncSaves
from checkpointable.saving.numbering import numbered_prefix
from checkpointable.storage import Storage, checked_storage

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from checkpointable.report import Report
    from checkpointable.saving.background import SaveHandle
    from checkpointable.status import LoadStatus

__all__ = ["CheckpointableSaver"]


class CheckpointableSaver:
    """Saves and restores an object and everything that it refers to.

    Example:
        saver = cp.CheckpointableSaver(model)
        path = saver.save("runs/a/ckpt", 1)       # runs/a/ckpt-1
        saver.restore(path).assert_consumed()

    Args:
      root_checkpointable: the object to start from. Names in the checkpoint are paths from it.
      storage: where checkpoints are written to and read from. None: the default storage, which
        `use_storage` sets.

    Raises:
      TypeError: the root cannot be saved, or `storage` is not a `Storage`.
    """

    def __init__(self, root_checkpointable: Any, *, storage: Storage | None = None) -> None:
        if adapter_of(root_checkpointable) is None:
            raise TypeError(
                f"cannot save a {type(root_checkpointable).__name__}: it is neither a "
                "Checkpointable nor an object of a framework that an adapter knows"
            )
        self._saves = AsyncSaves()
        self._objects = ObjectSaver(
            root_checkpointable, self._saves, storage=checked_storage(storage)
        )

    @renamed_options(manifest="sign_with")
    @takes_blocking
    def save(
        self,
        file_prefix: Path,
        checkpoint_number: Any = None,
        session: Any = None,
        **options: Unpack[SaveOptions],
    ) -> str:
        """Writes a checkpoint and makes it the latest one of its directory (S14).

        Waits for the last asynchronous save first, and raises its error unless `SaveHandle.result`
        has raised it.

        Args:
          file_prefix: the directory and the beginning of the file names. Missing directories are
            created.
          checkpoint_number: appended as `-<number>`: an int, or a scalar variable or tensor.
          session: the session that evaluates variables in graph mode; ignored in eager mode.
          options: `durability`, `progress` and `sign_with`, see `SaveOptions`.

        Returns:
          The checkpoint prefix, to pass to `restore`.

        Raises:
          ValueError, NotImplementedError: an object cannot be saved (the message names its path),
            or an option has a wrong value.
          TypeError: an option is not known.
          CheckpointIOError: the system refused. Existing checkpoints are intact.
        """
        settings = write_settings("CheckpointableSaver.save", options, SaveOptions)
        prefix = numbered_prefix(file_prefix, checkpoint_number, session, self._objects.storage)
        self._saves.settle()
        self._objects.save(prefix, session, settings)
        return prefix

    @renamed_options(manifest="sign_with")
    def save_async(
        self,
        file_prefix: Path,
        checkpoint_number: Any = None,
        session: Any = None,
        **options: Unpack[AsyncSaveOptions],
    ) -> SaveHandle:
        """Saves in the background: returns as soon as the values may change.

        The checkpoint holds the values at the time of this call. Values are copied into memory
        that later saves reuse, except immutable ones. The interpreter waits for the save
        before it exits.

        Args:
          file_prefix, checkpoint_number, session: as in `save`.
          options: `durability`, `progress`, `sign_with` and `max_staging_bytes`, see
            `AsyncSaveOptions`.

        Returns:
          A handle to wait for the checkpoint.

        Raises: as `save`. The handle raises errors that occur later.
        """
        settings = write_settings("CheckpointableSaver.save_async", options, AsyncSaveOptions)
        prefix = numbered_prefix(file_prefix, checkpoint_number, session, self._objects.storage)
        self._saves.settle()
        return self._objects.save_async(prefix, session, settings)

    @renamed_options(key="trusted_key", prefix="module")
    def restore(self, save_path: Path | None, **options: Unpack[RestoreOptions]) -> LoadStatus:
        """Restores the objects below the root: existing ones now, others when they are created.

        Args:
          save_path: the checkpoint prefix that `save` returned; an `.index` file; a directory
            (its latest checkpoint); or a file of tensors: `.safetensors`, or a file that
            `torch.load(weights_only=True)` reads (S38). None: nothing is restored, see
            `InitializationOnlyStatus` (S32).
          options: `renames`, `names`, `module`, `verify`, `progress` and `trusted_key`, see
            `RestoreOptions`.

        Returns:
          A status with the outcome of every value: a `CheckpointLoadStatus`, or a
          `NameBasedSaverStatus` for a checkpoint without an object graph, which restores when its
          `run_restore_ops` is called (S38).

        Raises:
          CheckpointNotFoundError, CheckpointCorruptError, CheckpointUnsupportedError,
          CheckpointMismatchError: no variable was changed (if the file is damaged: provided that
            `verify` is True).
          CheckpointSignatureError: the checkpoint has no manifest signed with `trusted_key`. No
            variable was changed.
          ValueError: a rename matches nothing or makes two paths collide; `trusted_key` is not a
            key, or is given together with `verify="stream"` or `verify=False`.
          TypeError: an option is not known.
        """
        return self._objects.restore("CheckpointableSaver.restore", save_path, options)

    @renamed_options(key="trusted_key")
    def plan(
        self,
        save_path: Path,
        *,
        renames: Mapping[str, str] | None = None,
        trusted_key: Key | None = None,
    ) -> Report:
        """Reports what `restore` would do, without reading or assigning a value (S31).

        Args:
          save_path, renames, trusted_key: as in `restore`.

        Returns:
          A report. Values that do not fit are in it, and not an error.

        Raises: as `restore`.
        """
        return self._objects.plan(save_path, renames, trusted_key)
