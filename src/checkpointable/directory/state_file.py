"""The state file `checkpoint`, which names the latest checkpoint of a directory (S16).

The format is TensorFlow's text format:

    model_checkpoint_path: "ckpt-2"
    all_model_checkpoint_paths: "ckpt-1"
    all_model_checkpoint_paths: "ckpt-2"
    all_model_checkpoint_timestamps: 1700000000.5
    last_preserved_timestamp: 1700000000.1
    # crc32c 8ba1f0b4 of the lines above

The last line is an extension: a comment, which TensorFlow ignores. Files without it are
read, too. Paths are written relative to the directory, so that it can be moved; absolute paths are
read unchanged. Source: tensorflow/python/training/checkpoint_state.proto.
"""

from __future__ import annotations

import codecs
import functools
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from checkpointable.bundle.checksum import crc32c
from checkpointable.bundle.format import index_path
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
# A state file has a line per checkpoint. A larger file is refused before it is read.
_MOST_BYTES = 64 * 1024 * 1024
_DRIVE = re.compile("[A-Za-z]:/")
_CHECKSUM = re.compile(rb"^# crc32c ([0-9a-f]{8}) of the lines above\n?\Z", re.MULTILINE)


@dataclass
class CheckpointState:
    """The contents of a state file, with relative paths joined to the directory.

    Attributes:
      model_checkpoint_path: the latest checkpoint.
      all_model_checkpoint_paths: all checkpoints that are kept, oldest first, the latest
        included.
      all_model_checkpoint_timestamps: time of each, in seconds since the epoch; may be empty.
      last_preserved_timestamp: time of the last checkpoint that a manager keeps permanently,
        in seconds since the epoch; None if there is none.
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
    """Reads the state file of a directory. Returns None if there is none.

    Raises:
      CheckpointCorruptError: the file is not a state file.
      CheckpointIOError: the file cannot be read.
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
            raise CheckpointCorruptError(
                f"not a state file: it has {file.size} bytes, the limit is {_MOST_BYTES}", path=path
            )
        data = file.read(0, file.size)
    data = _as_written(data, path)
    _check_sum(data, path)
    message = _message_class()()
    try:
        text_format.Parse(data.decode(), message, allow_unknown_field=True)
    except (text_format.ParseError, ValueError, RecursionError) as error:
        raise CheckpointCorruptError(f"not a state file: {error}", path=path) from None
    if not message.model_checkpoint_path:
        raise CheckpointCorruptError("not a state file: it has no model_checkpoint_path", path=path)
    state = CheckpointState(
        _absolute(directory, message.model_checkpoint_path, storage),
        [_absolute(directory, kept, storage) for kept in message.all_model_checkpoint_paths],
        list(message.all_model_checkpoint_timestamps),
    )
    if not state.all_model_checkpoint_paths:
        state.all_model_checkpoint_paths.append(state.model_checkpoint_path)
    elif state.model_checkpoint_path not in state.all_model_checkpoint_paths:
        # Edited or damaged; the named checkpoint is used nevertheless if it exists (S32).
        logger.warning(
            "%s names %s as the latest checkpoint but does not list it among all checkpoints; the "
            "file was edited or damaged",
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
    """Replaces the state file of a directory atomically.

    Raises:
      CheckpointUnsupportedError: a path is not valid Unicode, which the format requires.
      CheckpointIOError: the file could not be written.
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
        # With a single checkpoint the path is written twice, which is redundancy enough.
        data += b"# crc32c %08x of the lines above\n" % crc32c(data)
    replace_file(storage or default_storage(), os.path.join(directory, name), data, durability)


def _check_sum(data: bytes, path: str) -> None:
    stored = _CHECKSUM.search(data)
    if stored is not None and int(stored[1], 16) != crc32c(data[: stored.start()]):
        raise CheckpointCorruptError(
            "the checksum of the state file does not match its contents. If you edited the file, "
            "remove its last line",
            path=path,
            offset=0,
        )


def _check_text(path: str, state_file: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise CheckpointUnsupportedError(
            f"the state file cannot store the path {path!a}: it is not valid Unicode",
            path=state_file,
        ) from None


def _all_relative(directory: str, state: CheckpointState) -> Sequence[str]:
    paths = [relative_path(directory, path) for path in state.all_model_checkpoint_paths]
    latest = relative_path(directory, state.model_checkpoint_path)
    return paths if latest in paths else [*paths, latest]


def _absolute(directory: str, path: str, storage: Storage) -> str:
    whole = os.path.join(directory, path)  # keeps an absolute path
    if "\\" not in path or os.sep == "\\" or storage.exists(index_path(whole)):
        return whole
    # Written on Windows. An absolute path there means nothing here: its last part may.
    there = path.replace("\\", "/")
    if there.startswith("/") or _DRIVE.match(there):
        there = os.path.basename(there)
    here = os.path.join(directory, there)
    return here if storage.exists(index_path(here)) else whole


def _as_written(data: bytes, path: str) -> bytes:
    """Returns the contents without what editors add: a byte order mark, line ends of Windows."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeError as error:
            raise CheckpointCorruptError(f"not a state file: {error}", path=path) from None
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")


def state_or_error(
    directory: str, name: str = STATE_FILE_NAME
) -> tuple[CheckpointState | None, CheckpointError | None]:
    """Returns (state, None), or (None, error) if `read_state` raises."""
    try:
        return read_state(directory, name), None
    except CheckpointError as error:
        return None, error


def relative_path(directory: str, path: str) -> str:
    """Returns `path` relative to `directory`, or as an absolute path if it is outside."""
    whole = os.path.abspath(path)
    base = os.path.abspath(directory)
    try:
        relative = os.path.relpath(whole, base)
    except ValueError:  # on another drive
        return whole
    outside = relative == os.pardir or relative.startswith(os.pardir + os.sep)
    return whole if outside else relative
