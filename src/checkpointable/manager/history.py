"""The history of a manager: the file `checkpoint.history.json` next to the state file.

The state file has TensorFlow's format and lists the checkpoints that are kept. It cannot store
metrics, or which checkpoints a manager wrote. The history does:

    {"version": 1, "last_preserved_timestamp": 1700000000.1, "checkpoints": [
      {"path": "ckpt-3", "timestamp": 1700000000.5, "fate": "kept", "metrics": {"loss": 0.5}}],
      "crc32c": "8ba1f0b4"}

Paths are relative to the directory, oldest first. A checkpoint is "kept" while the manager may
still delete it, "preserved" once it never will, and "expired" once it has decided to.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field, replace
from typing import Any

from checkpointable.bundle.checksum import crc32c
from checkpointable.bundle.format import index_path
from checkpointable.common.logs import logger
from checkpointable.directory.state_file import read_state, relative_path
from checkpointable.errors import CheckpointCorruptError, CheckpointError, CheckpointNotFoundError
from checkpointable.storage import Storage, default_storage, replace_file

__all__ = ["EXPIRED", "HISTORY_FILE_NAME", "KEPT", "PRESERVED", "History", "Written"]

HISTORY_FILE_NAME = "checkpoint.history.json"
KEPT = "kept"
PRESERVED = "preserved"
EXPIRED = "expired"

_VERSION = 1
_CHECKSUM = "crc32c"  # of the rest
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Written:
    """A checkpoint that a manager wrote.

    Attributes:
      path: its prefix, relative to the directory.
      timestamp: the time of the save, in seconds since the epoch.
      metrics: the metrics that `save` got.
      fate: `KEPT`, `PRESERVED` or `EXPIRED`.
    """

    path: str
    timestamp: float
    metrics: dict[str, float] = field(default_factory=dict)
    fate: str = KEPT


class History:
    """The checkpoints in a directory that managers with one `checkpoint_name` wrote.

    Attributes:
      written: path -> checkpoint, oldest first.
      last_preserved: the time of the last preserved checkpoint, in seconds since the epoch.
      is_damaged: whether the file exists and could not be used.
    """

    def __init__(self, directory: str, name: str, now: float) -> None:
        self._directory = directory
        self._name = name
        # A second earlier, as in TensorFlow, for managers that are created in quick succession.
        self.last_preserved = now - 1.0
        self.written: dict[str, Written] = {}
        self.is_damaged = False
        self._load(now)

    @property
    def _storage(self) -> Storage:
        return default_storage()  # of the context, at each use

    def with_fate(self, *fates: str) -> list[Written]:
        """Returns the checkpoints with these fates, oldest first."""
        return [entry for entry in self.written.values() if entry.fate in fates]

    def add(self, entry: Written) -> None:
        """Adds the newest checkpoint; it has replaced one of the same path."""
        self.written.pop(entry.path, None)
        self.written[entry.path] = entry

    def decide(self, entry: Written, fate: str) -> None:
        """Sets the fate of a checkpoint."""
        self.written[entry.path] = replace(entry, fate=fate)

    def forget(self, entry: Written) -> None:
        """Drops a checkpoint that was deleted or is no longer ranked."""
        self.written.pop(entry.path, None)

    def save(self, durability: str) -> None:
        """Replaces the file atomically; keeps the entries of managers with other names.

        Raises:
          CheckpointIOError: the system refused.
        """
        with self._storage.lock_directory(self._directory):
            contents = self._read() or {}
            others = [e for e in _entries(contents) if not self._is_ours(e.path)]
            written = [
                {
                    "path": entry.path,
                    "timestamp": entry.timestamp,
                    "fate": entry.fate,
                    "metrics": entry.metrics,
                }
                for entry in (*others, *self.written.values())
            ]
            contents = {
                "version": _VERSION,
                "last_preserved_timestamp": self.last_preserved,
                "checkpoints": written,
            }
            contents[_CHECKSUM] = _checksum(contents)
            text = json.dumps(contents, indent=1) + "\n"
            path = os.path.join(self._directory, HISTORY_FILE_NAME)
            replace_file(self._storage, path, text.encode(), durability)

    def _load(self, now: float) -> None:
        known: dict[str, Written] = {}
        contents = self._read() or {}
        own_preserved = _number(contents.get("last_preserved_timestamp"))
        for entry in _entries(contents):
            if self._is_ours(entry.path):
                known[entry.path] = entry
        listed, last_preserved = self._of_state_file(now)
        if listed and last_preserved is not None and last_preserved > (own_preserved or 0.0):
            # Another manager has saved: it keeps for good the checkpoints that it no longer lists.
            # (If it lists none of ours, it has another name.)
            paths = {entry.path for entry in listed}
            known = {p: entry for p, entry in known.items() if entry.fate != KEPT or p in paths}
        for entry in listed:
            noted = known.get(entry.path)
            # A manager without a history (TensorFlow's) may have overwritten a checkpoint.
            if noted is None or noted.timestamp < entry.timestamp:
                known[entry.path] = entry
                ordered = sorted(known.values(), key=lambda entry: entry.timestamp)
                known = {entry.path: entry for entry in ordered}
        times = [time for time in (own_preserved, last_preserved) if time is not None]
        if times:
            self.last_preserved = max(times)
        if self.last_preserved > now:
            logger.warning(
                "%s: the clock is %.0f seconds behind the last preserved checkpoint",
                self._directory,
                self.last_preserved - now,
            )
            self.last_preserved = now
        for entry in known.values():
            # The deletion of an expired one may be incomplete, and continues.
            if entry.fate == EXPIRED or self._storage.exists(self._index_of(entry)):
                timestamp = min(entry.timestamp, now)
                self.written[entry.path] = replace(entry, timestamp=timestamp)

    def _index_of(self, entry: Written) -> str:
        return os.path.join(self._directory, index_path(entry.path))

    def _is_ours(self, path: str) -> bool:
        """Returns whether a relative path is `<name>-<number>`."""
        stem, dash, number = path.rpartition("-")
        return bool(dash) and stem == self._name and number.isdecimal() and number.isascii()

    def _of_state_file(self, now: float) -> tuple[list[Written], float | None]:
        """Returns the checkpoints in the state file, and when a manager last preserved one.

        A saver writes a state file without that time: a manager must not delete the checkpoints
        that it lists, nor any that are older than that time.
        """
        try:
            state = read_state(self._directory)
        except CheckpointError:
            return [], None  # `latest_checkpoint` warns
        if state is None or state.last_preserved_timestamp is None:
            return [], None
        listed = []
        for path, time in zip(
            state.all_model_checkpoint_paths, state.all_model_checkpoint_timestamps, strict=False
        ):
            relative = relative_path(self._directory, path)
            if min(time, now) > min(state.last_preserved_timestamp, now) and self._is_ours(
                relative
            ):
                listed.append(Written(relative, time))
        return listed, state.last_preserved_timestamp

    def _read(self) -> dict[str, Any] | None:
        """Returns the contents of the file; None if it does not exist or cannot be used.

        Raises:
          CheckpointIOError: the file cannot be read, and may be intact.
        """
        path = os.path.join(self._directory, HISTORY_FILE_NAME)
        try:
            with self._storage.open(path) as file:
                if file.size > _MOST_BYTES:
                    raise ValueError(f"it has {file.size} bytes")
                contents = json.loads(file.read(0, file.size).decode())
            if not isinstance(contents, dict) or contents.get("version") != _VERSION:
                raise ValueError(f"it is not of version {_VERSION}")
            stored = contents.pop(_CHECKSUM, None)
            if stored is not None and stored != _checksum(contents):
                raise ValueError("its checksum does not match")
        except CheckpointNotFoundError:
            return None
        except (CheckpointCorruptError, ValueError, RecursionError) as error:
            logger.warning(
                "%s: the history cannot be used (%s); its metrics are lost, and checkpoints that "
                "only it lists are kept for good",
                path,
                error,
            )
            self.is_damaged = True
            return None
        return contents


def _checksum(contents: dict[str, Any]) -> str:
    return f"{crc32c(json.dumps(contents, indent=1).encode()):08x}"


def _entries(contents: dict[str, Any]) -> list[Written]:
    """Returns the checkpoints that the file lists, without malformed entries."""
    entries = contents.get("checkpoints")
    written = []
    for item in entries if isinstance(entries, list) else ():
        if not isinstance(item, dict):
            continue
        path, timestamp = item.get("path"), _number(item.get("timestamp"))
        fate, metrics = item.get("fate", KEPT), item.get("metrics")
        if not isinstance(fate, str) or fate not in {KEPT, PRESERVED, EXPIRED}:
            continue
        if isinstance(path, str) and timestamp is not None:
            items = metrics.items() if isinstance(metrics, dict) else ()
            numbers = {
                name: number for name, value in items if (number := _float(value)) is not None
            }
            written.append(Written(path, timestamp, numbers, fate))
    return written


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _number(value: Any) -> float | None:
    number = _float(value)
    return number if number is not None and math.isfinite(number) else None
