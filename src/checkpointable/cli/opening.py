"""From what the user types to an open checkpoint, and its values as rows."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

from checkpointable.bundle.format import index_path
from checkpointable.directory.prefixes import checkpoint_prefix
from checkpointable.directory.state_file import read_state
from checkpointable.errors import CheckpointError
from checkpointable.readers.reader import CheckpointReader
from checkpointable.readers.reading import load_checkpoint
from checkpointable.storage import default_storage

__all__ = ["JsonOption", "PathArgument", "Stored", "named_prefix", "open_checkpoint", "stored"]

PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="A prefix, an .index file, a directory (its latest checkpoint), or a file of tensors "
        "(.safetensors, torch.save).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON (docs/command-line.md).")]


class Stored(NamedTuple):
    """What the index says of a value.

    Attributes:
      key: under which it is stored.
      dtype: the name of its data type.
      shape: its dimensions.
      size: the bytes it takes in the data files; a partitioned value's parts together.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    size: int

    def as_json(self) -> dict[str, object]:
        return {
            "key": self.key,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "bytes": self.size,
        }


def open_checkpoint(path: str) -> CheckpointReader:
    """The checkpoint that PATH means."""
    return load_checkpoint(path)


def named_prefix(path: str) -> str:
    """The prefix that PATH means, also where that checkpoint is damaged.

    Of a directory it is the one that the state file names, where `checkpoint_prefix` would
    go back to an older one that is whole: whoever verifies wants to hear of it.
    """
    storage = default_storage()
    if storage.is_directory(path) and not storage.exists(index_path(path)):
        try:
            state = read_state(path)
        except CheckpointError:
            state = None  # `checkpoint_prefix` warns of it
        if state is not None and storage.exists(index_path(state.model_checkpoint_path)):
            return state.model_checkpoint_path
    return checkpoint_prefix(path)


def stored(reader: CheckpointReader, key: str) -> Stored:
    """What the index says of the value `key`."""
    key, dtype, shape, nbytes, _ = reader.stored(key)
    return Stored(key, dtype, shape, nbytes)
