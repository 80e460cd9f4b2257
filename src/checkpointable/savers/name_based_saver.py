"""Saver: saves and restores variables by their global names, without an object graph (S40)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointable.adapters.frameworks import noted_in_graph
from checkpointable.bundle import BundleReader, ValueToWrite, write_bundle
from checkpointable.bundle.reading.reader import checked_verify
from checkpointable.common.logs import logger
from checkpointable.common.types import Durability, Path, Progress
from checkpointable.common.working_directory import GivenPath
from checkpointable.directory.deletion import delete_checkpoint
from checkpointable.directory.state_file import CheckpointState, write_state
from checkpointable.graph.by_executor import by_executor, schedule_values
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import Part, Value, stored_values
from checkpointable.manifest import Key, signer_of
from checkpointable.readers.opening import open_stored, verifier_of_option
from checkpointable.restore.assigning import assign_values
from checkpointable.restore.by_name.part_reader import PartReader
from checkpointable.restore.context import next_uid
from checkpointable.restore.match import find_mismatch, mismatch_error
from checkpointable.saving.numbering import numbered_prefix
from checkpointable.saving.values_to_write import values_to_write

if TYPE_CHECKING:
    from checkpointable.graph.adapter import RestoreNotes
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
      var_list: variables with names, or a mapping of names to variables. None, where a
        TensorFlow graph is being built: all variables that the graph has by now.
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
        noted = noted_in_graph() if var_list is None else _named(var_list)
        if noted is None:
            raise ValueError(
                "Saver: give var_list, a list of named variables or a mapping of names to "
                "variables: only where a TensorFlow graph is being built is there a collection "
                "of all variables to take them from"
            )
        self._variables = _by_name(noted)
        self._max_to_keep = max_to_keep or 0
        self._keep_every = (keep_checkpoint_every_n_hours or 0.0) * _SECONDS_PER_HOUR
        self._written: list[tuple[GivenPath, float]] = []
        self._next_kept = time.time() + self._keep_every

    @property
    def last_checkpoints(self) -> list[str]:
        """The paths of the checkpoints that this saver wrote and has not deleted, oldest first."""
        return [path.display for path, _ in self._written]

    def save(
        self,
        file_prefix: Path,
        checkpoint_number: Any = None,
        session: Any = None,
        *,
        durability: Durability = "fsync",
        progress: Progress | None = None,
        manifest: bool | Key = False,
    ) -> str:
        """Writes a checkpoint and makes it the directory's latest.

        Args: as in `CheckpointableSaver.save`.

        Returns:
          The checkpoint's full path, to be given to `restore`.
        """
        signer = signer_of(manifest)
        prefix = numbered_prefix(file_prefix, checkpoint_number, session)
        named = self._values()
        values = [(str(index), own.value) for index, own in enumerate(named)]
        to_write = _partitioned(named, values_to_write(values, session))
        path = GivenPath.of(prefix)
        write_bundle(
            path.absolute, to_write, durability=durability, progress=progress, signer=signer
        )
        self._note(path, durability)
        return prefix

    def restore(
        self,
        save_path: Path,
        session: Any = None,
        *,
        verify: Verify = True,
        key: Key | None = None,
    ) -> None:
        """Restores every variable; object-based checkpoints are not for this.

        Args: as in `CheckpointableSaver.restore`.

        Raises:
          CheckpointMismatchError: a variable has nothing under its name, or a value does not
            fit it; nothing was changed.
          CheckpointNotFoundError, CheckpointCorruptError, CheckpointSignatureError: nothing was
            changed.
          ValueError: another `verify`.
        """
        verify = checked_verify(verify)
        uid = next_uid()
        with open_stored(save_path, verifier=verifier_of_option(key, verify)) as reader:
            named = self._values()
            parts = PartReader(reader)
            pairs = _check(reader, parts, named)
            if verify is True:
                parts.check([key for key, _ in pairs])
            assign_values(parts, pairs, verify, uid)
            for executor, own in by_executor(schedule_values(pairs)):
                executor.run(own, parts, session)
        for own_value in named:
            own_value.notes.sources[own_value.attribute] = (uid, 0)

    def _values(self) -> list[_Named]:
        """Every value with its name, in the order of the names."""
        named = []
        for name, variables in sorted(self._variables.items()):
            for variable in variables:
                adapter = adapter_of(variable)
                assert adapter is not None  # _by_name has asked
                ((attribute, made),) = adapter.values(variable).items()
                value = made if isinstance(made, Value) else made(name)
                notes = adapter.notes(variable)
                named += [
                    _Named(key, attribute, own, notes) for key, own in stored_values(name, value)
                ]
        return named

    def _note(self, path: GivenPath, durability: Durability) -> None:
        """Updates the state file, and only then deletes what is too many."""
        # Whole paths: the program may go to another working directory, where a relative one would
        # name somebody else's checkpoint.
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
            (own.absolute, at)
            for own, at in self._written
            if os.path.dirname(own.absolute) == directory
        ]
        paths, times = [path for path, _ in listed], [at for _, at in listed]
        if not self._max_to_keep:
            # Nothing is managed: only the most recent one is listed (S16), without the time
            # by which a manager knows what it may delete.
            paths, times = paths[-1:], []
        write_state(directory, CheckpointState(path.absolute, paths, times), durability=durability)
        for own in surplus:
            try:
                delete_checkpoint(own.absolute, durability=durability)
            except OSError as error:
                logger.warning("%s: could not be deleted: %s", own.display, error)


class _Named(NamedTuple):
    """A value and the name under which it is stored."""

    name: str
    attribute: str
    value: Value
    notes: RestoreNotes


def _partitioned(named: list[_Named], to_write: list[ValueToWrite]) -> list[ValueToWrite]:
    """What is to be written: a value under its name, parts of one together."""
    whole: list[ValueToWrite] = []
    parts: dict[str, list[tuple[Part, ValueToWrite]]] = {}
    for own, value in zip(named, to_write, strict=True):
        part = own.value.part_of
        if part is None:
            whole.append(value._replace(key=own.name))
        else:
            parts.setdefault(own.name, []).append((part, value._replace(key=own.name)))
    for name, pieces in parts.items():
        first, value = pieces[0]
        extents = tuple((part.extents, piece) for part, piece in pieces)
        whole.append(ValueToWrite(name, value.dtype, first.shape, value.read, extents))
    return whole


def _named(var_list: Iterable[Any] | Mapping[str, Any]) -> list[tuple[str | None, Any]]:
    """(name, variable) each; None for its own name."""
    if isinstance(var_list, Mapping):
        return [(name, own) for name, given in var_list.items() for own in _parts_of(given)]
    return [(None, own) for given in var_list for own in _parts_of(given)]


def _by_name(named: Iterable[tuple[str | None, Any]]) -> dict[str, list[Any]]:
    """Name -> its variable, or those that are its parts."""
    variables: dict[str, list[Any]] = {}
    for given, variable in named:
        name = _own_name(variable) if given is None else given
        if adapter_of(variable) is None or len(_attributes(variable)) != 1:
            raise TypeError(
                f"Saver: {name or 'an item of var_list'} is a {type(variable).__name__}, which "
                "is not an object with one value"
            )
        if not name:
            raise ValueError(
                f"Saver: {variable!r} has no name; give a mapping of names to variables"
            )
        if name in variables and not (_is_part(variable) and _is_part(variables[name][0])):
            raise ValueError(f"Saver: two variables are named {name!r}")
        if name == GRAPH_KEY:
            raise ValueError(f"Saver: the name {name!r} belongs to object graphs")
        variables.setdefault(name, []).append(variable)
    if not variables:
        raise ValueError("Saver: var_list has no variables")
    return variables


def _parts_of(given: Any) -> list[Any]:
    """A variable, or the parts of a partitioned one."""
    if isinstance(given, (list, tuple)):
        return [own for each in given for own in _parts_of(each)]
    adapter = adapter_of(given)
    children = [] if adapter is None or _attributes(given) else list(adapter.children(given))
    if children and all(_is_part(child) for _, child in children):
        return [child for _, child in children]
    return [given]


def _is_part(variable: Any) -> bool:
    """Whether a variable is a part of a partitioned one."""
    adapter = adapter_of(variable)
    values = {} if adapter is None else adapter.values(variable)
    return any(isinstance(own, Value) and own.part_of is not None for own in values.values())


def _own_name(variable: Any) -> str:
    adapter = adapter_of(variable)
    return "" if adapter is None else adapter.full_name(variable)


def _attributes(variable: Any) -> list[str]:
    adapter = adapter_of(variable)
    return [] if adapter is None else list(adapter.values(variable))


def _check(reader: BundleReader, parts: PartReader, named: list[_Named]) -> list[tuple[str, Value]]:
    """(key, value) of each; raises if a name is not there, or a value does not fit (S25)."""
    missing = dict.fromkeys(own.name for own in named if own.name not in reader)
    problems: list[object] = [f"{name}: nothing has this name" for name in missing]
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
