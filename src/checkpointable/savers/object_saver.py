"""Saving and restoring the objects below a root: the code behind the public savers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.common.types import Attached, Path
from checkpointable.common.working_directory import absolute_path
from checkpointable.directory.checkpoint_state import update_checkpoint_state
from checkpointable.savers.options import RestoreOptions, check_options
from checkpointable.savers.restoring import plan_objects, restore_objects
from checkpointable.saving.async_saving import AsyncSaves
from checkpointable.saving.saving import WriteSettings, layout_of_objects, write_layout
from checkpointable.storage import Storage, optional_storage

if TYPE_CHECKING:
    from checkpointable.manifest import Key
    from checkpointable.report import Report
    from checkpointable.saving.background import SaveHandle
    from checkpointable.status import LoadStatus

__all__ = ["ObjectSaver"]


class ObjectSaver(NamedTuple):
    """Saves and restores the objects below a root.

    Attributes:
      root: the object to start from.
      saves: the asynchronous saves of the public saver.
      attached: dependencies of the root in addition to those that it tracks.
      optional: paths that a name-based checkpoint may lack.
      storage: where checkpoints are written to and read from. None: the default storage.
    """

    root: Any
    saves: AsyncSaves
    attached: Attached = ()
    optional: tuple[str, ...] = ()
    storage: Storage | None = None

    def save(self, prefix: str, session: Any, settings: WriteSettings) -> None:
        """Writes the checkpoint `prefix`, and makes it the latest one of its directory."""
        self.make_latest(self.write(prefix, session, settings), settings)

    def save_async(self, prefix: str, session: Any, settings: WriteSettings) -> SaveHandle:
        """Starts to save the checkpoint `prefix` in the background, see `save`."""

        def finish(path: str) -> None:
            self.make_latest(path, settings)

        return self.write_async(prefix, session, settings, finish)

    def make_latest(self, path: str, settings: WriteSettings) -> None:
        """Makes the checkpoint of this absolute path the latest one of its directory."""
        directory = os.path.dirname(path)
        update_checkpoint_state(
            directory, path, durability=settings.durability, storage=self.storage
        )

    def write(self, prefix: str, session: Any, settings: WriteSettings) -> str:
        """Writes the checkpoint `prefix`, and returns its absolute path; no state file."""
        path = absolute_path(prefix)  # before the walk: the working directory may change meanwhile
        layout = layout_of_objects(self.root, self.attached, session)
        with optional_storage(self.storage):
            write_layout(path, layout, settings)
        return path

    def write_async(
        self,
        prefix: str,
        session: Any,
        settings: WriteSettings,
        finish: Callable[[str], object] | None = None,
        failed: Callable[[], object] | None = None,
    ) -> SaveHandle:
        """Starts to write the checkpoint `prefix` in the background.

        Args:
          finish, failed: as in `AsyncSaves.write`.
        """
        path = absolute_path(prefix)
        layout = layout_of_objects(self.root, self.attached, session)
        with optional_storage(self.storage):  # the background keeps it
            return self.saves.write(prefix, path, layout, settings, finish=finish, failed=failed)

    def restore(self, function: str, save_path: Path | None, options: RestoreOptions) -> LoadStatus:
        """Restores a checkpoint.

        Args:
          function: the name of the public function that was called, for messages.
          options: the options of that call.
        """
        check_options(function, options, RestoreOptions)
        with optional_storage(self.storage):
            return restore_objects(
                self.root, save_path, attached=self.attached, optional=self.optional, **options
            )

    def plan(
        self, save_path: Path, renames: Mapping[str, str] | None, trusted_key: Key | None
    ) -> Report:
        """Reports what `restore` would do, without reading or assigning a value (S31)."""
        with optional_storage(self.storage):
            return plan_objects(
                self.root,
                save_path,
                attached=self.attached,
                renames=renames,
                trusted_key=trusted_key,
            )
