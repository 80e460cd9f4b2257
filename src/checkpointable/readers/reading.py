"""Looking into a checkpoint without any objects."""

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
      ckpt_dir_or_file: a prefix, an `.index` file, or a directory (its latest checkpoint); a
        `.safetensors` file (or the `.safetensors.index.json` of several), or a state dict that
        `torch.load(weights_only=True)` takes: their keys are its names. These have no checksums.
      mmap: True: `get_tensor` gives read-only arrays on the mapped files: nothing is read
        before it is used, nothing is copied, and nothing is verified unless `check` is called.
        "c": arrays that may be changed, which does not change the files. What cannot be used
        where it lies (strings, partitioned values, another byte order) is read as ever.
      trusted_key: the checkpoint must have a manifest signed with this key. Everything that is
        read is compared with the manifest first, as in `restore`. (With `mmap` the arrays are then
        on private memory.)
      storage: where the files are. None: the default storage, which `use_storage` sets.

    Raises:
      ValueError: `mmap` has a wrong value; `trusted_key` is not a key.
      CheckpointSignatureError: the checkpoint has no manifest signed with `trusted_key`.
      CheckpointNotFoundError, CheckpointCorruptError, CheckpointUnsupportedError.
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
    """Key and shape of every value, sorted by key; the object graph is one of them.

    Args, errors: as `load_checkpoint`.
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
    """The object graph of a checkpoint: `.nodes[i].children`, `.attributes`, `.slot_variables`.

    Args:
      trusted_key, storage: as in `load_checkpoint`.

    Raises:
      CheckpointUnsupportedError: a name-based checkpoint, which has none.
      CheckpointNotFoundError, CheckpointCorruptError, CheckpointSignatureError.
    """
    with load_checkpoint(save_path, trusted_key=trusted_key) as reader:
        graph = reader.graph()
        if graph is None:
            raise CheckpointUnsupportedError(
                "this is a name-based checkpoint: it has no object graph", path=reader.prefix
            )
        return graph
