"""Finds the files of V1 checkpoints: one file each, or several with numbers."""

from __future__ import annotations

import os
import re

from checkpointable.bundle.format import prefix_of_index, split_prefix
from checkpointable.bundle.v1.table import is_table
from checkpointable.errors import CheckpointCorruptError, CheckpointError
from checkpointable.storage import Storage

__all__ = ["v1_files", "v1_prefixes_in"]

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$", re.ASCII)


def v1_files(prefix: str, storage: Storage) -> list[str]:
    """Returns the files of a V1 checkpoint in the order of their numbers; none if there is none.

    Args:
      prefix: The path of one file, or the name of several: `model.ckpt`,
        `model.ckpt-?????-of-00002`.
      storage: Where to look.

    Raises:
      CheckpointCorruptError: Some of several files are missing.
    """
    if _is_file(prefix, storage):
        return [prefix]
    directory, base = split_prefix(prefix)
    match = re.fullmatch(r"(.*)-\?{5}-of-(\?{5}|\d{5})", base, re.ASCII | re.DOTALL)
    stem, count = (base, None) if match is None else (match[1], match[2])
    groups: dict[int, dict[int, str]] = {}
    for name in _names(directory, storage):
        shard = _SHARD.search(name)
        if shard is None or name[: shard.start()] != stem:
            continue
        if count in {None, "?????", shard[2]}:
            path = f"{prefix[: len(prefix) - len(base)]}{name}"
            groups.setdefault(int(shard[2]), {})[int(shard[1])] = path
    if not groups:
        return []
    if len(groups) > 1:
        counts = ", ".join(map(str, sorted(groups)))
        raise CheckpointCorruptError(
            f"there are files of {counts} shards under this name; remove those that do not belong "
            "to it, or give the number of shards",
            path=prefix,
        )
    ((total, shards),) = groups.items()
    if sorted(shards) != list(range(total)):
        missing = sorted(set(range(total)) - set(shards))[:10]
        raise CheckpointCorruptError(
            f"of its {total} files {', '.join(f'{n:05d}' for n in missing)} (and maybe more) are "
            "missing",
            path=prefix,
        )
    return [shards[number] for number in range(total)]


def v1_prefixes_in(directory: str, storage: Storage) -> list[str]:
    """Returns the paths of the V1 checkpoints in a directory, recognized by form, newest first."""
    modified_ns: dict[str, int] = {}
    for name in _names(directory, storage):
        if name.startswith(".") or name.endswith(".meta") or prefix_of_index(name):
            continue
        path = os.path.join(directory, name)
        try:
            if not _is_file(path, storage):
                continue
            with storage.open(path) as file:
                if not is_table(file):
                    continue
                modified = file.identity.modified_ns
        except CheckpointError:
            continue
        shard = _SHARD.search(path)
        prefix = path if shard is None else f"{path[: shard.start()]}-?????-of-{shard[2]}"
        modified_ns[prefix] = max(modified, modified_ns.get(prefix, 0))
    return sorted(modified_ns, key=lambda prefix: (modified_ns[prefix], prefix), reverse=True)


def _names(directory: str, storage: Storage) -> list[str]:
    try:
        return storage.list(directory)
    except CheckpointError:
        return []


def _is_file(path: str, storage: Storage) -> bool:
    if not storage.exists(path):
        return False
    try:
        storage.list(path)
    except CheckpointError:
        return True
    return False
