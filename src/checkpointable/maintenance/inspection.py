"""Inspects a directory: verifies its checkpoints, manifests and state file."""

from __future__ import annotations

import os
from typing import NamedTuple

from checkpointable.bundle import Damage
from checkpointable.bundle.format import index_path
from checkpointable.bundle.opening import open_checkpoint
from checkpointable.common.types import Progress
from checkpointable.directory.latest import list_checkpoints
from checkpointable.directory.state_file import CheckpointState, state_or_error
from checkpointable.errors import CheckpointCorruptError, CheckpointError
from checkpointable.maintenance.manifest_checks import ManifestCheck, check_manifest_if_any
from checkpointable.maintenance.strays import stray_files
from checkpointable.storage import FileIdentity, default_storage, given_path

__all__ = ["InspectedCheckpoint", "Inspection", "inspect_directory"]

# How often a directory is inspected again because a writer changed it meanwhile.
_ATTEMPTS = 10
_NAMES_SHOWN = 10


class InspectedCheckpoint(NamedTuple):
    """A checkpoint of which every byte was read.

    Attributes:
      prefix: The checkpoint prefix.
      values: The number of values.
      size: The bytes of the values.
      damages: All damage.
      error: Why the checkpoint could not be read although it may be whole; else None.
      index_identity: Tells the index that was read from one that a later save puts in its place.
      manifest: The check of its manifest; None if it has none. A checkpoint may be whole although
        its manifest is damaged.
    """

    prefix: str
    values: int
    size: int
    damages: list[Damage]
    error: str | None
    index_identity: FileIdentity | None = None
    manifest: ManifestCheck | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all checksums match."""
        return not self.damages and self.error is None


class Inspection(NamedTuple):
    """The checkpoints, the state file and the strays of a directory.

    Attributes:
      directory: The directory.
      checkpoints: The checkpoints, newest first.
      latest: The checkpoint that the state file names; None if there is no readable state file.
      problem: What is wrong with the state file; None if nothing is.
      strays: The paths of files that interrupted saves and deletions left.
    """

    directory: str
    checkpoints: list[InspectedCheckpoint]
    latest: str | None
    problem: str | None
    strays: list[str]

    @property
    def whole(self) -> list[str]:
        """The prefixes of whole checkpoints, newest first."""
        return [checkpoint.prefix for checkpoint in self.checkpoints if checkpoint.is_whole]

    @property
    def undamaged(self) -> list[str]:
        """The prefixes of checkpoints that are whole, or may be because they could not be read."""
        return [checkpoint.prefix for checkpoint in self.checkpoints if not checkpoint.damages]

    @property
    def ok(self) -> bool:
        """Whether the state file, all checkpoints and all manifests are in order."""
        return self.problem is None and all(
            checkpoint.is_whole and (checkpoint.manifest is None or checkpoint.manifest.ok)
            for checkpoint in self.checkpoints
        )


def inspect_directory(directory: str, progress: Progress | None = None) -> Inspection:
    """Reads every byte of every checkpoint in a directory.

    Checkpoints that a writer saves or deletes meanwhile are not reported as problems.

    Args:
      directory: The directory.
      progress: Called with (bytes done, total bytes, key); starts again with each checkpoint.

    Raises:
      CheckpointIOError, CheckpointNotFoundError: The directory cannot be read.
    """
    storage = default_storage()
    directory = given_path(directory)
    inspected: dict[str, InspectedCheckpoint] = {}
    state, error = state_or_error(directory)
    for _ in range(_ATTEMPTS):
        names = storage.list(directory)
        prefixes = list_checkpoints(directory)
        for prefix in prefixes:
            known = inspected.get(prefix)
            if known is None or known.index_identity != storage.identity(index_path(prefix)):
                inspected[prefix] = _inspect(prefix, progress)
        # A manager may have deleted a checkpoint before it was read.
        checkpoints = [
            inspected[prefix]
            for prefix in prefixes
            if inspected[prefix].is_whole or storage.exists(index_path(prefix))
        ]
        missing = _missing(state, checkpoints)
        before, (state, error) = state, state_or_error(directory)
        if not missing or state == before:
            break  # else a save has replaced the state file, and may have added checkpoints
    problem = None if error is None else error.what
    if missing:
        listed = ", ".join(map(os.path.basename, missing[:_NAMES_SHOWN]))
        problem = f"it names checkpoints that are missing or not whole: {listed}"
    elif state is None and problem is None and checkpoints:
        problem = "it is missing"
    latest = None if state is None else state.model_checkpoint_path
    return Inspection(directory, checkpoints, latest, problem, stray_files(directory, names))


def _missing(state: CheckpointState | None, checkpoints: list[InspectedCheckpoint]) -> list[str]:
    """Returns the paths that a state file lists and that are not whole checkpoints."""
    if state is None:
        return []
    whole = {os.path.abspath(c.prefix) for c in checkpoints if c.is_whole}
    return [path for path in state.all_model_checkpoint_paths if os.path.abspath(path) not in whole]


def _inspect(prefix: str, progress: Progress | None) -> InspectedCheckpoint:
    index = default_storage().identity(index_path(prefix))
    values = size = 0
    try:
        with open_checkpoint(prefix, damaged=True) as reader:
            values = len(reader)
            size = sum(reader.stored(key).nbytes for key in reader.keys())
            damages = reader.verify(progress)
            if not damages:
                reader.graph()
    except CheckpointCorruptError as error:
        damage = Damage(error.path or prefix, error.key, error.offset or 0, error.what)
        return InspectedCheckpoint(prefix, values, size, [damage], None, index)
    except CheckpointError as error:
        return InspectedCheckpoint(prefix, values, size, [], str(error), index)
    try:
        manifest = check_manifest_if_any(prefix, progress)
    except CheckpointError as error:
        manifest = ManifestCheck(None, [], error)
    return InspectedCheckpoint(prefix, values, size, damages, None, index, manifest)
