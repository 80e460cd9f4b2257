"""Reads checkpoints without the objects of a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from checkpointable.common.deprecation import renamed_options
from checkpointable.common.types import Path
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.manifest import Key
from checkpointable.readers.opening import open_stored, verifier_of_option
from checkpointable.storage import Storage, takes_storage

if TYPE_CHECKING:
    from checkpointable.graph.object_graph import ObjectGraph
    from checkpointable.readers.reader import CheckpointReader

__all__ = ["list_variables", "load_checkpoint", "object_metadata"]


@renamed_options(key="trusted_key")
@takes_storage
def load_checkpoint(
    ckpt_dir_or_file: Path,
    *,
    mmap: bool | Literal["c"] = False,
    trusted_key: Key | None = None,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> CheckpointReader:
    """Opens a checkpoint for reading by key.

        with cp.load_checkpoint("runs/a") as reader:
            for key in reader.keys():
                print(key, reader.dtype(key), reader.shape(key))
            reader.get_tensor("step/.ATTRIBUTES/VARIABLE_VALUE")

    Args:
      ckpt_dir_or_file: A checkpoint prefix, an `.index` file, or a directory (its latest
        checkpoint). Or a tensor file: a `.safetensors` file, the `.safetensors.index.json` of
        several, or a state dict that `torch.load(weights_only=True)` loads. Tensor files are
        recognized by content; their names are the keys. Files of `torch.save` have a checksum for
        each record, the others have none.
      mmap: True: `get_tensor` returns read-only arrays on the mapped files. Nothing is read
        before it is used, nothing is copied, and nothing is verified unless you call `check`.
        "c": the arrays are writable; writing to them does not change the files. Strings,
        partitioned values and values in another byte order are read as without `mmap`.
      trusted_key: The checkpoint must have a manifest signed with this key. Everything that is
        read is compared with the manifest first, as in `restore`. (With `mmap` the arrays are then
        in private memory.)
      storage: The storage of the files; None: the default storage, which `use_storage` sets.

    Returns:
      An open reader; close it, or use it as a context manager.

    Raises:
      ValueError: `mmap` has another value; `trusted_key` is not a key.
      CheckpointSignatureError: The checkpoint has no manifest signed with `trusted_key`.
      CheckpointNotFoundError: There is nothing at the path; names the other checkpoints there.
      CheckpointCorruptError: The checkpoint is damaged.
      CheckpointUnsupportedError: The file has a format that the library does not read.
    """
    return open_stored(ckpt_dir_or_file, mmap=mmap, verifier=verifier_of_option(trusted_key))


@renamed_options(key="trusted_key")
@takes_storage
def list_variables(
    ckpt_dir_or_file: Path,
    *,
    trusted_key: Key | None = None,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> list[tuple[str, tuple[int, ...]]]:
    """Returns (key, shape) of every value, sorted by key; the object graph is one of them.

        for key, shape in cp.list_variables("runs/a"):
            print(key, shape)

    Args, Raises: As for `load_checkpoint`.
    """
    with load_checkpoint(ckpt_dir_or_file, trusted_key=trusted_key) as reader:
        return [(name, reader.shape(name)) for name in reader.keys()]


@renamed_options(key="trusted_key")
@takes_storage
def object_metadata(
    save_path: Path,
    *,
    trusted_key: Key | None = None,
    storage: Storage | None = None,  # noqa: ARG001 - for takes_storage
) -> ObjectGraph:
    """Returns the object graph of a checkpoint.

    Args:
      save_path: A checkpoint prefix, an `.index` file, or a directory (its latest checkpoint).
      trusted_key, storage: As for `load_checkpoint`.

    Returns:
      The graph; `.nodes[i]` has `.children`, `.attributes` and `.slot_variables`.

    Raises:
      CheckpointUnsupportedError: The checkpoint is name-based and has no object graph.
      CheckpointNotFoundError, CheckpointCorruptError, CheckpointSignatureError: As for
        `load_checkpoint`.
    """
    with load_checkpoint(save_path, trusted_key=trusted_key) as reader:
        graph = reader.graph()
        if graph is None:
            raise CheckpointUnsupportedError(
                "this is a name-based checkpoint: it has no object graph", path=reader.prefix
            )
        return graph
