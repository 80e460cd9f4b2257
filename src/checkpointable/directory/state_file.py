"""The state file `checkpoint`: which checkpoint of a directory is the latest (S16).

TensorFlow's text format, both ways:

    model_checkpoint_path: "ckpt-2"
    all_model_checkpoint_paths: "ckpt-1"
    all_model_checkpoint_paths: "ckpt-2"
    all_model_checkpoint_timestamps: 1700000000.5
    last_preserved_timestamp: 1700000000.1
    # crc32c 8ba1f0b4 of the lines above

The last line is ours: a comment, which TensorFlow passes over; a file without it is read too.
Source: tensorflow/python/training/checkpoint_state.proto. Paths are relative to the directory,
so that it can be moved; absolute ones are read as they stand.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from checkpointable.bundle.checksum import crc32c
from checkpointable.common.logs import logger
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.storage import Storage, default_storage, replace_file
from checkpointable.wire.messages import message_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "STATE_FILE_NAME",
    "CheckpointState",
    "read_state",
    "relative_path",
    "state_or_error",
    "write_state",
]

STATE_FILE_NAME = "checkpoint"
# A line a checkpoint: more than this is no state file, and is not read into memory.
_MOST_BYTES = 64 * 1024 * 1024
_CHECKSUM = re.compile(rb"^# crc32c ([0-9a-f]{8}) of the lines above\n?\Z", re.MULTILINE)


@dataclass
class CheckpointState:
    """What a state file says, paths made whole again.

    Attributes:
      model_checkpoint_path: the latest checkpoint.
      all_model_checkpoint_paths: all that are kept, oldest first, the latest among them.
      all_model_checkpoint_timestamps: when each was made, seconds since the epoch; may be empty.
      last_preserved_timestamp: when a manager last kept one for good; None if never.
    """

    model_checkpoint_path: str
    all_model_checkpoint_paths: list[str] = field(default_factory=list)
    all_model_checkpoint_timestamps: list[float] = field(default_factory=list)
    last_preserved_timestamp: float | None = None


@functools.cache
def _message_class() -> type[Any]:
    return message_classes(
        "checkpointable/checkpoint_state.proto",
        "checkpointable",
        {
            "CheckpointState": [
                ("model_checkpoint_path", 1, "string", "optional"),
                ("all_model_checkpoint_paths", 2, "string", "repeated"),
                ("all_model_checkpoint_timestamps", 3, "double", "repeated"),
                ("last_preserved_timestamp", 4, "double", "optional"),
            ]
        },
    )["CheckpointState"]


def read_state(
    directory: str, name: str = STATE_FILE_NAME, storage: Storage | None = None
) -> CheckpointState | None:
    """The state file of a directory; None if there is none.

    Raises:
      CheckpointCorruptError: it is no state file.
      CheckpointIOError: it cannot be read.
    """
    from google.protobuf import text_format

    storage = storage or default_storage()
    path = os.path.join(directory, name)
    try:
        file = storage.open(path)
    except CheckpointNotFoundError:
        return None
    with file:
        if file.size > _MOST_BYTES:
            raise CheckpointCorruptError(f"no state file: it has {file.size} bytes", path=path)
        data = file.read(0, file.size)
    _check_sum(data, path)
    message = _message_class()()
    try:
        text_format.Parse(data.decode(), message, allow_unknown_field=True)
    except (text_format.ParseError, ValueError, RecursionError) as error:
        raise CheckpointCorruptError(f"no state file: {error}", path=path) from None
    if not message.model_checkpoint_path:
        raise CheckpointCorruptError("no state file: it names no latest checkpoint", path=path)
    state = CheckpointState(
        _absolute(directory, message.model_checkpoint_path),
        [_absolute(directory, kept) for kept in message.all_model_checkpoint_paths],
        list(message.all_model_checkpoint_timestamps),
    )
    if not state.all_model_checkpoint_paths:
        state.all_model_checkpoint_paths.append(state.model_checkpoint_path)
    elif state.model_checkpoint_path not in state.all_model_checkpoint_paths:
        # Changed by hand, or damaged: it still counts if there is such a checkpoint (S32).
        logger.warning(
            "%s names %s as the latest, but does not list it: it was not written like this",
            path,
            message.model_checkpoint_path,
        )
        state.all_model_checkpoint_paths.append(state.model_checkpoint_path)
    if message.HasField("last_preserved_timestamp"):
        state.last_preserved_timestamp = message.last_preserved_timestamp
    return state


def write_state(
    directory: str,
    state: CheckpointState,
    *,
    name: str = STATE_FILE_NAME,
    durability: str = "fsync",
    storage: Storage | None = None,
) -> None:
    """Replaces the state file of a directory, in one step.

    Raises:
      CheckpointUnsupportedError: a path that is not Unicode, which the format cannot hold.
      CheckpointIOError: the system refused.
    """
    from google.protobuf import text_format

    latest = relative_path(directory, state.model_checkpoint_path)
    paths = _all_relative(directory, state)
    for path in (*paths, latest):
        _check_text(path, os.path.join(directory, name))
    message = _message_class()()
    message.model_checkpoint_path = latest
    message.all_model_checkpoint_paths.extend(paths)
    message.all_model_checkpoint_timestamps.extend(state.all_model_checkpoint_timestamps)
    if state.last_preserved_timestamp is not None:
        message.last_preserved_timestamp = state.last_preserved_timestamp
    data: bytes = text_format.MessageToString(message).encode()
    if len(paths) > 1 or state.all_model_checkpoint_timestamps:
        # Where one alone is listed, every path stands twice, and that is check enough.
        data += b"# crc32c %08x of the lines above\n" % crc32c(data)
    replace_file(storage or default_storage(), os.path.join(directory, name), data, durability)


def _check_sum(data: bytes, path: str) -> None:
    found = _CHECKSUM.search(data)
    if found is not None and int(found[1], 16) != crc32c(data[: found.start()]):
        raise CheckpointCorruptError(
            "the state file is not as it was written: its checksum does not hold. (If you changed "
            "it by hand, remove its last line, too.)",
            path=path,
            offset=0,
        )


def _check_text(path: str, state_file: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise CheckpointUnsupportedError(
            f"the state file is text and cannot hold the name {path!a}, which is not Unicode",
            path=state_file,
        ) from None


def _all_relative(directory: str, state: CheckpointState) -> Sequence[str]:
    paths = [relative_path(directory, path) for path in state.all_model_checkpoint_paths]
    latest = relative_path(directory, state.model_checkpoint_path)
    return paths if latest in paths else [*paths, latest]


def _absolute(directory: str, path: str) -> str:
    return os.path.join(directory, path)  # an absolute path stays as it is


def state_or_error(
    directory: str, name: str = STATE_FILE_NAME
) -> tuple[CheckpointState | None, CheckpointError | None]:
    """As `read_state`, with what it raises in the place of the state."""
    try:
        return read_state(directory, name), None
    except CheckpointError as error:
        return None, error


def relative_path(directory: str, path: str) -> str:
    """`path` as seen from `directory`; whole if it lies elsewhere."""
    whole = os.path.abspath(path)
    base = os.path.abspath(directory)
    try:
        relative = os.path.relpath(whole, base)
    except ValueError:  # on another drive
        return whole
    outside = relative == os.pardir or relative.startswith(os.pardir + os.sep)
    return whole if outside else relative
