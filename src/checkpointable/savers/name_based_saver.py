"""Saver: saves and restores variables by their global names, without an object graph (S40)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from checkpointable.adapters.frameworks import noted_in_graph
from checkpointable.bundle import make_layout
from checkpointable.bundle.reading.reader import checked_verify
from checkpointable.common.deprecation import renamed_options
from checkpointable.common.logs import logger
from checkpointable.common.types import Durability, Path
from checkpointable.common.working_directory import GivenPath
from checkpointable.directory.deletion import delete_checkpoint
from checkpointable.directory.state_file import CheckpointState, write_state
from checkpointable.graph.by_executor import by_executor, schedule_values
from checkpointable.graph.value import ValueSpec
from checkpointable.manifest import Key
from checkpointable.readers.opening import open_stored, verifier_of_option
from checkpointable.readers.reader import CheckpointReader
from checkpointable.restore.assigning import assign_values
from checkpointable.restore.by_name.part_reader import PartReader
from checkpointable.restore.context import next_uid
from checkpointable.restore.match import find_mismatch, mismatch_error
from checkpointable.savers.named_values import (
    NamedValue,
    merge_parts,
    named_values,
    variables_by_name,
    with_names,
)
from checkpointable.savers.options import SaveOptions, write_settings
from checkpointable.saving.numbering import numbered_prefix
from checkpointable.saving.saving import write_layout
from checkpointable.saving.values_to_write import values_to_write
from checkpointable.storage import Storage, checked_storage, optional_storage

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from checkpointable.restore import Verify

__all__ = ["Saver"]

_SECONDS_PER_HOUR = 3600.0


class Saver:
    """Saves and restores variables by name; `tf.compat.v1.train.Saver` reads its files.

    `CheckpointableSaver` has object graphs, restore on create and statuses. Use this class for
    files whose keys must be global names.

    Example:
        saver = cp.Saver([kernel, bias])                    # by their names
        saver = cp.Saver({"dense/kernel": kernel})          # by these names
        path = saver.save("runs/a/model", 100)
        saver.restore(path)

    Args:
      var_list: variables with names, or a mapping of names to variables. None, while a TensorFlow
        graph is being built: all variables that the graph has now.
      max_to_keep: the number of checkpoints to keep: the newest that this saver wrote. None or 0:
        nothing is deleted.
      keep_checkpoint_every_n_hours: of the checkpoints that `max_to_keep` would delete, one per
        this many hours is kept for good.
      storage: where checkpoints are written to and read from. None: the default storage, which
        `use_storage` sets.

    Raises:
      ValueError: there are no variables, one has no name, or two have the same name.
      TypeError: an item is not an object with exactly one value.
    """

    def __init__(
        self,
        var_list: Iterable[Any] | Mapping[str, Any] | None = None,
        max_to_keep: int | None = None,
        keep_checkpoint_every_n_hours: float | None = None,
        *,
        storage: Storage | None = None,
    ) -> None:
        named = noted_in_graph() if var_list is None else with_names(var_list)
        if named is None:
            raise ValueError(
                "Saver: var_list is missing: give a list of named variables, or a mapping of names "
                "to variables. It can be omitted only while a TensorFlow graph is being built, "
                "which has a collection of all its variables"
            )
        self._variables = variables_by_name(named)
        self._storage = checked_storage(storage)
        self._max_to_keep = max_to_keep or 0
        self._keep_every = (keep_checkpoint_every_n_hours or 0.0) * _SECONDS_PER_HOUR
        self._written: list[tuple[GivenPath, float]] = []
        self._next_kept = time.time() + self._keep_every

    @property
    def last_checkpoints(self) -> list[str]:
        """The checkpoint prefixes that this saver wrote and has not deleted, oldest first."""
        return [path.display for path, _ in self._written]

    @renamed_options(manifest="sign_with")
    def save(
        self,
        file_prefix: Path,
        checkpoint_number: Any = None,
        session: Any = None,
        **options: Unpack[SaveOptions],
    ) -> str:
        """Writes a checkpoint and makes it the latest one of its directory.

        Args:
          file_prefix, checkpoint_number, session, options: as in `CheckpointableSaver.save`.

        Returns:
          The checkpoint prefix, to pass to `restore`.
        """
        settings = write_settings("Saver.save", options, SaveOptions)
        prefix = numbered_prefix(file_prefix, checkpoint_number, session, self._storage)
        path = GivenPath.of(prefix)  # now: the working directory may change meanwhile
        named = named_values(self._variables)
        _check_contents(named)
        values = [(str(index), item.value) for index, item in enumerate(named)]
        layout = make_layout(merge_parts(named, values_to_write(values, session)))
        with optional_storage(self._storage):
            write_layout(path.absolute, layout, settings)
            self._note(path, settings.durability)
        return prefix

    @renamed_options(key="trusted_key")
    def restore(
        self,
        save_path: Path,
        session: Any = None,
        *,
        verify: Verify = True,
        trusted_key: Key | None = None,
    ) -> None:
        """Restores every variable from a checkpoint whose keys are its variables' names.

        Args:
          save_path: the checkpoint prefix that `save` returned; an `.index` file; or a directory
            (its latest checkpoint).
          session: the session that assigns variables of graph mode.
          verify, trusted_key: as in `CheckpointableSaver.restore`.

        Raises:
          CheckpointMismatchError: the checkpoint has no value under the name of a variable, or
            one that does not fit it. No variable was changed.
          CheckpointNotFoundError, CheckpointCorruptError, CheckpointSignatureError: no variable
            was changed.
          ValueError: `verify` or `trusted_key` has a wrong value.
        """
        verify = checked_verify(verify)
        uid = next_uid()
        verifier = verifier_of_option(trusted_key, verify)
        with optional_storage(self._storage), open_stored(save_path, verifier=verifier) as reader:
            named = named_values(self._variables)
            parts = PartReader(reader)
            pairs = _check(reader, parts, named)
            if verify is True:
                parts.check([key for key, _ in pairs])
            assign_values(parts, pairs, verify, uid)
            for executor, group in by_executor(schedule_values(pairs)):
                executor.run(group, parts, session)
        for item in named:
            item.notes.sources[item.attribute] = (uid, 0)

    def _note(self, path: GivenPath, durability: Durability) -> None:
        """Updates the state file, and only then deletes the checkpoints beyond `max_to_keep`."""
        # Absolute paths: after a change of the working directory a relative one would name another
        # checkpoint.
        self._written = [entry for entry in self._written if entry[0].absolute != path.absolute]
        self._written.append((path, time.time()))
        surplus = []
        while self._max_to_keep and len(self._written) > self._max_to_keep:
            old, written_at = self._written.pop(0)
            if self._keep_every and written_at >= self._next_kept:
                self._next_kept += self._keep_every
            else:
                surplus.append(old)
        directory = os.path.dirname(path.absolute)
        listed = [
            (kept.absolute, written_at)
            for kept, written_at in self._written
            if os.path.dirname(kept.absolute) == directory
        ]
        paths, times = [path for path, _ in listed], [written_at for _, written_at in listed]
        if not self._max_to_keep:
            # Only the newest checkpoint is listed (S16), without its time: a manager deletes
            # checkpoints that are listed with theirs.
            paths, times = paths[-1:], []
        write_state(directory, CheckpointState(path.absolute, paths, times), durability=durability)
        for old in surplus:
            try:
                delete_checkpoint(old.absolute, durability=durability)
            except OSError as error:
                logger.warning("%s: could not be deleted: %s", old.display, error)


def _check_contents(named: list[NamedValue]) -> None:
    """Raises ValueError if a variable has no contents that could be saved."""
    for item in named:
        if item.value.absent and item.value.executor is None:
            raise ValueError(
                f"{item.name}: the variable is not initialized: its module has not seen an input "
                "yet, so there is nothing to save"
            )


def _check(
    reader: CheckpointReader, parts: PartReader, named: list[NamedValue]
) -> list[tuple[str, ValueSpec]]:
    """Returns (key, value) of each; raises if a name is missing or a value does not fit (S25)."""
    missing = dict.fromkeys(item.name for item in named if item.name not in reader)
    problems: list[object] = [f"{name}: no value has this name" for name in missing]
    pairs = []
    for name, _, value, _ in named:
        if name in missing:
            continue
        key = parts.key(name, value)
        pairs.append((key, value))
        problem = find_mismatch(parts, name, key, value.dtype, value.shape)
        if problem is not None:
            problems.append(problem)
    if problems:
        raise mismatch_error(reader.prefix, problems)
    return pairs
