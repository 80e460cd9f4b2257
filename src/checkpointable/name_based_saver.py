"""Saver: saves and restores variables by their global names, without an object graph (S40)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from checkpointable.adapters.registry import adapter_of
from checkpointable.bundle import BundleReader, write_bundle
from checkpointable.bundle.opening import open_checkpoint
from checkpointable.deletion import delete_checkpoint
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.graph.value import Value
from checkpointable.logs import logger
from checkpointable.management import checkpoint_prefix
from checkpointable.restore.executors import by_executor
from checkpointable.restore.match import find_mismatch, mismatch_error
from checkpointable.restore.restore import assign_values, next_uid, record_values
from checkpointable.saving import Durability, Path, Progress, numbered_prefix, records_of_values
from checkpointable.state_file import CheckpointState, write_state

if TYPE_CHECKING:
    from checkpointable.graph.adapter import ObjectRecord
    from checkpointable.restore import Verify

__all__ = ["Saver"]

_SECONDS_PER_HOUR = 3600.0


class Saver:
    """Saves and restores variables by name; `tf.compat.v1.train.Saver` reads its files.

        saver = cp.Saver([kernel, bias])                    # by their names
        saver = cp.Saver({"dense/kernel": kernel})          # by these names
        path = saver.save("runs/a/model", 100)
        saver.restore(path)

    Object graphs, restore on create and statuses are what `CheckpointableSaver` has; use this
    for files that must go by names.

    Args:
      var_list: variables with names, or a mapping of names to variables.
      max_to_keep: delete all but this many of the newest that this saver wrote; None or 0:
        delete nothing.
      keep_checkpoint_every_n_hours: of those that `max_to_keep` would delete, keep one for
        good every so many hours.

    Raises:
      ValueError: no variables, one without a name, or a name twice.
      TypeError: something that takes no part in checkpointing.
    """

    def __init__(
        self,
        var_list: Iterable[Any] | Mapping[str, Any] | None = None,
        max_to_keep: int | None = None,
        keep_checkpoint_every_n_hours: float | None = None,
    ) -> None:
        if var_list is None:
            raise ValueError(
                "Saver: give var_list, a list of named variables or a mapping of names to "
                "variables: there is no collection of all variables to take them from"
            )
        self._variables = _by_name(var_list)
        self._max_to_keep = max_to_keep or 0
        self._keep_every = (keep_checkpoint_every_n_hours or 0.0) * _SECONDS_PER_HOUR
        self._written: list[tuple[str, float]] = []
        self._next_kept = time.time() + self._keep_every

    @property
    def last_checkpoints(self) -> list[str]:
        """The paths of the checkpoints that this saver wrote and has not deleted, oldest first."""
        return [path for path, _ in self._written]

    def save(
        self,
        file_prefix: Path,
        checkpoint_number: Any = None,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
    ) -> str:
        """Writes a checkpoint and makes it the directory's latest.

        Args: as in `CheckpointableSaver.save`.

        Returns:
          The checkpoint's full path, to be given to `restore`.
        """
        prefix = numbered_prefix(file_prefix, checkpoint_number, session)
        values = [(name, value) for name, (value, _) in sorted(self._values().items())]
        records = records_of_values(values, session)
        write_bundle(prefix, records, durability=durability, progress=progress)
        self._note(prefix, durability)
        return prefix

    def restore(self, save_path: Path, session: Any = None, *, verify: Verify = True) -> None:
        """Restores every variable; object-based checkpoints are not for this.

        Raises:
          CheckpointMismatchError: a variable has nothing under its name, or a value does not
            fit it; nothing was changed.
          CheckpointNotFoundError, CheckpointCorruptError: nothing was changed.
        """
        uid = next_uid()
        with open_checkpoint(checkpoint_prefix(save_path)) as reader:
            values = self._values()
            _check(reader, values)
            if verify is True:
                reader.check(values)
            pairs = [(name, value) for name, (value, _) in values.items()]
            assign_values(reader, pairs, verify, uid)
            for executor, own in by_executor(record_values(pairs)):
                executor.run(own, reader, session)
        for name, (_, record) in values.items():
            for attribute in _attributes(self._variables[name]):
                record.sources[attribute] = (uid, 0)

    def _values(self) -> dict[str, tuple[Value, ObjectRecord]]:
        """The one value of each variable."""
        values = {}
        for name, variable in self._variables.items():
            adapter = adapter_of(variable)
            assert adapter is not None  # _by_name has asked
            ((_, made),) = adapter.values(variable).items()
            value = made if isinstance(made, Value) else made(name)
            values[name] = (value, adapter.record(variable))
        return values

    def _note(self, prefix: str, durability: Durability) -> None:
        """Updates the state file, and only then deletes what is too many."""
        self._written = [entry for entry in self._written if entry[0] != prefix]
        self._written.append((prefix, time.time()))
        surplus = []
        while self._max_to_keep and len(self._written) > self._max_to_keep:
            path, written_at = self._written.pop(0)
            if self._keep_every and written_at >= self._next_kept:
                self._next_kept += self._keep_every
            else:
                surplus.append(path)
        directory = os.path.dirname(prefix)
        paths = [path for path, _ in self._written if os.path.dirname(path) == directory]
        times = [at for path, at in self._written if os.path.dirname(path) == directory]
        if not self._max_to_keep:
            # Nothing is managed: only the most recent one is listed (S16).
            paths, times = paths[-1:], times[-1:]
        write_state(directory, CheckpointState(prefix, paths, times), durability=durability)
        for path in surplus:
            try:
                delete_checkpoint(path)
            except OSError as error:
                logger.warning("%s: could not be deleted: %s", path, error)


def _by_name(var_list: Iterable[Any] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(var_list, Mapping):
        named = list(var_list.items())
    else:
        named = [(_own_name(variable), variable) for variable in var_list]
    variables: dict[str, Any] = {}
    for name, variable in named:
        if adapter_of(variable) is None or len(_attributes(variable)) != 1:
            raise TypeError(
                f"Saver: {name or 'an item of var_list'} is a {type(variable).__name__}, which "
                "is not an object with one value"
            )
        if not name:
            raise ValueError(
                f"Saver: {variable!r} has no name; give a mapping of names to variables"
            )
        if name in variables:
            raise ValueError(f"Saver: two variables are named {name!r}")
        if name == GRAPH_KEY:
            raise ValueError(f"Saver: the name {name!r} belongs to object graphs")
        variables[name] = variable
    if not variables:
        raise ValueError("Saver: var_list has no variables")
    return variables


def _own_name(variable: Any) -> str:
    adapter = adapter_of(variable)
    return "" if adapter is None else adapter.full_name(variable)


def _attributes(variable: Any) -> list[str]:
    adapter = adapter_of(variable)
    return [] if adapter is None else list(adapter.values(variable))


def _check(reader: BundleReader, values: Mapping[str, tuple[Value, Any]]) -> None:
    """Raises if a name is not there, or a value does not fit (S25)."""
    problems: list[object] = [
        f"{name}: nothing has this name" for name in values if name not in reader
    ]
    problems += [
        problem
        for name, (value, _) in values.items()
        if name in reader
        and (problem := find_mismatch(reader, name, name, value.dtype, value.shape))
    ]
    if problems:
        raise mismatch_error(reader.prefix, problems)
