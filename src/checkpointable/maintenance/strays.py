"""Files in a directory that belong to no checkpoint: remains of interrupted saves and deletions."""

from __future__ import annotations

import os

from checkpointable.bundle.format import index_path, parse_data_name, prefix_of_index
from checkpointable.errors import CheckpointError, CheckpointNotFoundError
from checkpointable.manifest import manifest_path
from checkpointable.manifest.format import base_of_manifest
from checkpointable.storage import default_storage, temporary_of

__all__ = ["stray_files", "stray_manifests"]


def stray_files(directory: str, names: list[str]) -> list[str]:
    """Returns the paths of files of checkpoints that belong to no checkpoint.

    Args:
      directory: The directory.
      names: The names of its files.
    """
    bases = {prefix for name in names if (prefix := prefix_of_index(name)) is not None}
    manifests = set(stray_manifests(directory, names))
    strays = [name for name in names if name in manifests or _is_stray(name, bases)]
    return [os.path.join(directory, name) for name in strays]


def stray_manifests(directory: str, names: list[str]) -> list[str]:
    """Returns the names of manifests that belong to no checkpoint.

    Interrupted saves and deletions leave them, and programs that do not know manifests.

    Args:
      directory: The directory.
      names: The names of its files.
    """
    strays = []
    for name in names:
        base = base_of_manifest(name)
        if base is None:
            continue
        prefix = os.path.join(directory, base)
        try:
            with default_storage().open(index_path(prefix)) as file:
                current = os.path.basename(manifest_path(prefix, file.read(0, file.size)))
        except CheckpointNotFoundError:
            current = None
        except CheckpointError:
            continue  # it may belong to the checkpoint, whose index cannot be read
        if current != name:
            strays.append(name)
    return strays


def _is_stray(name: str, bases: set[str]) -> bool:
    if temporary_of(name) is not None:
        return True
    base, _, _ = name.rpartition(".data-")
    return bool(base) and parse_data_name(name, base) is not None and base not in bases
