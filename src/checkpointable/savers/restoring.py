"""Restores the objects below a root: shared by every `restore`, `read` and `plan`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from checkpointable.adapters.watch import look_again
from checkpointable.common.gc_pause import collector_paused
from checkpointable.common.types import Attached, Path, Progress
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.decoding import decode_graph
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.renames import rename_graph
from checkpointable.graph.stored import read_graph
from checkpointable.graph.walk import walk
from checkpointable.manifest import Key
from checkpointable.readers.opening import open_stored, verifier_of_option
from checkpointable.report.build import build_report
from checkpointable.report.snapshot import snapshot_of_plan
from checkpointable.restore import NameBasedRestore, Names, Restore, Verify
from checkpointable.restore.by_name.file_names import FileNames
from checkpointable.restore.by_name.module_names import module_values
from checkpointable.status import (
    CheckpointLoadStatus,
    InitializationOnlyStatus,
    LoadStatus,
    NameBasedSaverStatus,
)

if TYPE_CHECKING:
    from checkpointable.readers.reader import CheckpointReader
    from checkpointable.report import Report
    from checkpointable.restore.by_name.name_based import FindValues, NamedValue

__all__ = ["plan_objects", "restore_objects"]


def restore_objects(
    root: Any,
    save_path: Path | None,
    *,
    attached: Attached = (),
    renames: Mapping[str, str] | None = None,
    names: Names | None = None,
    module: str | None = None,
    optional: tuple[str, ...] = (),
    verify: Verify = True,
    progress: Progress | None = None,
    trusted_key: Key | None = None,
) -> LoadStatus:
    """Opens a checkpoint and restores it, by objects or by names.

    Args: As for `CheckpointableSaver.restore`, and
      attached: Dependencies of the root in addition to those that it tracks.
      optional: Paths that a name-based checkpoint may lack.
    """
    look_again()
    verifier = verifier_of_option(trusted_key, verify)
    if save_path is None:
        return InitializationOnlyStatus(root, attached)
    reader = open_stored(save_path, verifier=verifier)
    try:
        _check_options(reader, renames, module)
        if reader.kind != "object-based":
            find = None if reader.kind == "name-based" else _finder(reader, module)
            by_name = NameBasedRestore(reader, names, verify, find, progress)
            return NameBasedSaverStatus(by_name, root, attached, optional)
        restore = _start(reader, renames, verify)
    except BaseException:
        reader.close()
        raise
    try:
        restore.attach(0, root, attached, progress)
    except BaseException:
        restore.expect_partial()  # the error says more than the warning
        raise
    return CheckpointLoadStatus(restore, root, attached)


def _check_options(
    reader: CheckpointReader, renames: Mapping[str, str] | None, module: str | None
) -> None:
    """Checks that the options of a restore apply to this kind of checkpoint.

    Raises:
      ValueError: An option does not apply.
    """
    if renames and reader.kind != "object-based":
        raise ValueError(
            f"{reader.prefix}: renames= moves paths of an object graph, but this is a "
            "name-based checkpoint; names= maps paths to its names"
        )
    if module is not None and reader.kind != "tensors":
        raise ValueError(
            f"{reader.prefix}: module= is for a file of tensors, whose names are "
            "relative to a module, and this is a checkpoint: leave module= out"
        )


def _finder(reader: CheckpointReader, module: str | None) -> FindValues:
    """Returns the function that finds the values of a program by the names of a tensor file."""
    present = FileNames(reader.keys(), reader.dicts.sections)

    def find(root: Any, attached: Attached, names: Names | None) -> list[NamedValue]:
        return module_values(root, attached, names, module, present)

    return find


def _start(reader: CheckpointReader, renames: Mapping[str, str] | None, verify: Verify) -> Restore:
    import hashlib  # slow to import

    data = read_graph(reader)
    # With other renames, the same bytes give another graph.
    described = data + repr(sorted((renames or {}).items())).encode()
    fingerprint = hashlib.blake2b(described).digest()
    with collector_paused():
        graph = rename_graph(decode_graph(data, reader.prefix), renames or {})
        return Restore(reader, graph, fingerprint=fingerprint, verify=verify)


def plan_objects(
    root: Any,
    save_path: Path,
    *,
    attached: Attached = (),
    renames: Mapping[str, str] | None = None,
    trusted_key: Key | None = None,
) -> Report:
    """Reports what `restore_objects` would do, without changing anything."""
    look_again()
    verifier = verifier_of_option(trusted_key)
    with open_stored(save_path, verifier=verifier) as reader:
        if reader.kind != "object-based":
            raise CheckpointUnsupportedError(
                "a name-based checkpoint, or file of tensors, has no object graph to match with: "
                "restore(...).run_restore_ops() lists the paths without a name",
                path=reader.prefix,
            )
        restore = _start(reader, renames, verify=True)
        restore.expect_partial()
        with collector_paused():
            snapshot = snapshot_of_plan(restore.match(0, root, attached))
            return build_report(restore, walk(root, adapter_of, attached), snapshot)
