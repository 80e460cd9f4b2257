"""CheckpointableSaver: saves the graph of objects below a root, and restores it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from checkpointable.common.types import Durability, Path, Progress
from checkpointable.common.working_directory import absolute_path
from checkpointable.directory.latest import update_checkpoint_state
from checkpointable.graph.registry import adapter_of
from checkpointable.manifest import Key, signer_of
from checkpointable.savers.restoring import plan_objects, restore_objects
from checkpointable.saving.async_saving import AsyncSaves, check_blocking
from checkpointable.saving.numbering import numbered_prefix

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from checkpointable.report import Report
    from checkpointable.restore import Names, Verify
    from checkpointable.saving.async_saving import WriteOptions
    from checkpointable.saving.background import SaveHandle
    from checkpointable.status import LoadStatus

__all__ = ["CheckpointableSaver"]


class CheckpointableSaver:
    """Saves and restores an object and all that it is built of.

        saver = cp.CheckpointableSaver(model)
        path = saver.save("runs/a/ckpt", 1)       # runs/a/ckpt-1
        saver.restore(path).assert_consumed()

    Args:
      root_checkpointable: the object to start from; names are paths from it.

    Raises:
      TypeError: the root takes no part in checkpointing.
    """

    def __init__(self, root_checkpointable: Any) -> None:
        if adapter_of(root_checkpointable) is None:
            raise TypeError(
                f"cannot save a {type(root_checkpointable).__name__}: it is neither a "
                "Checkpointable nor an object of a framework that an adapter knows"
            )
        self._root = root_checkpointable
        self._saves = AsyncSaves()

    @overload
    def save(
        self,
        file_prefix: Path,
        checkpoint_number: Any = None,
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
        checkpoint_number: Any = None,
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
        checkpoint_number: Any = None,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
        blocking: bool = True,
        max_staging_bytes: int | None = None,
        manifest: bool | Key = False,
    ) -> str | SaveHandle:
        """Writes a checkpoint and makes it the directory's latest (S14).

        Args:
          file_prefix: directory and beginning of the files' names; directories are made.
          checkpoint_number: appended as `-<number>`: an int, or a scalar variable or tensor.
          session: the session that evaluates variables in graph mode; ignored eagerly.
          durability: "fsync": files and directory are synced before it returns; "flush": they
            survive the process, not a crash of the machine.
          progress: called with (bytes done, bytes in all, key) as it goes, by the thread that
            writes.
          blocking: False returns as soon as the values may change, and writes in the background:
            a `SaveHandle`. What is written is as it was at this call. Values are copied for
            that into memory that is kept for the next time, but for those that nobody can
            change. Waits for an asynchronous save before it, whose error it raises if nobody
            has seen it; the interpreter waits when it exits.
          max_staging_bytes: what these copies may take; what does not fit is written before
            this returns. None: no limit. A blocking save makes none, so any limit is kept.
          manifest: a key: the checkpoint appears with a manifest (docs/format.md), SHA-256 over
            its files, signed with it: a secret of 32 bytes or more (HMAC-SHA256), or an Ed25519
            private key: of `cryptography`, in PEM, or the path of a PEM file. True: a manifest
            without a signature. False: none.

        Returns:
          The checkpoint's full path, to be given to `restore`; a `SaveHandle` if not `blocking`.

        Raises:
          ValueError, NotImplementedError: an object cannot be saved as it stands; the message
            names its path. An option has none of its values.
          CheckpointIOError: the system refused; the checkpoints that were there still are.
        """
        check_blocking(blocking, max_staging_bytes)
        signer = signer_of(manifest)
        prefix = numbered_prefix(file_prefix, checkpoint_number, session)
        path = absolute_path(prefix)
        self._saves.settle()

        def make_latest(path: str) -> None:
            update_checkpoint_state(os.path.dirname(path), path, durability=durability)

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
        if isinstance(saved, str):
            make_latest(path)
        return saved

    def _write(
        self, prefix: str, session: Any, **options: Unpack[WriteOptions]
    ) -> str | SaveHandle:
        return self._saves.write(self._root, (), prefix, session, **options)

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
        """Restores the objects below the root, those that exist now and those still to come.

        Args:
          save_path: what `save` returned; also an `.index` file, or a directory (its latest
            checkpoint); or a file of tensors that others wrote: `.safetensors`, or what
            `torch.load(weights_only=True)` takes (S38). None: nothing is restored, see
            `InitializationOnlyStatus` (S32).
          renames: checkpoint's path -> program's path, where code was renamed since:
            `{"encoder/blocks": "encoder/layers"}`, `*` for any run within a segment.
          names: for a checkpoint without an object graph, where objects have no global names
            of their own: a mapping, or a function, from an object's path to the checkpoint's
            name (S39).
          prefix: for a file of tensors: path of the module that its names are relative to.
            None: the only module there is.
          verify: True: every checksum of what is about to be assigned is verified before the
            first variable changes. "stream": each is verified while it is assigned, in one pass
            over the files; when damage is found, some variables have changed. False: none is.
          progress: called with (bytes done, bytes in all, key) as it goes, for what exists now
            (and not for a checkpoint without an object graph, which is restored later).
          key: the checkpoint must have a manifest that this key signed (an Ed25519 public key
            will do). What is assigned, now and later, is compared with it, in memory that nobody
            else can change; what exists now, before the first variable changes (S41).

        Returns:
          A status, which says exactly what was and was not restored: a `CheckpointLoadStatus`,
          or, of a checkpoint without an object graph, a `NameBasedSaverStatus`, which waits
          for its `run_restore_ops` (S38).

        Raises:
          CheckpointNotFoundError, CheckpointCorruptError, CheckpointUnsupportedError,
          CheckpointMismatchError: no variable was changed (of damage: if `verify` is True).
          CheckpointSignatureError: nothing says that the owner of `key` wrote this checkpoint; no
            variable was changed.
          ValueError: a rename that matches nothing, or that makes two things collide; a `key`
            that is none, or together with another `verify` than True.
        """
        return restore_objects(
            self._root,
            save_path,
            renames=renames,
            names=names,
            prefix=prefix,
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

        Args, errors: as `restore`; what does not fit is in the report, not an error.
        """
        return plan_objects(self._root, save_path, renames=renames, key=key)
