"""The outcome of a restore: what was matched, and assertions about it (S27-S34)."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, TypeVar

from checkpointable.adapters.registry import adapter_of
from checkpointable.graph.paths import PYTHON_STATE, VARIABLE_VALUE
from checkpointable.graph.walk import ObjectWalk, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from checkpointable.restore import Restore

__all__ = ["CheckpointLoadStatus", "InitializationOnlyStatus", "LoadStatus"]

_MOST_PATHS = 10

Self = TypeVar("Self", bound="LoadStatus")


class LoadStatus(abc.ABC):
    """What every status offers."""

    @abc.abstractmethod
    def assert_consumed(self: Self) -> Self:
        """Fails unless the checkpoint and the program's objects match completely."""

    @abc.abstractmethod
    def assert_existing_objects_matched(self: Self) -> Self:
        """Fails if an object that exists has no value in the checkpoint."""

    @abc.abstractmethod
    def assert_nontrivial_match(self: Self) -> Self:
        """Fails if nothing but the root matched."""

    @abc.abstractmethod
    def run_restore_ops(self, session: Any = None) -> None:
        """Runs what the restore has recorded (graph mode)."""

    @abc.abstractmethod
    def initialize_or_restore(self, session: Any = None) -> None:
        """Restores what is in the checkpoint and initializes the rest (graph mode)."""

    def expect_partial(self: Self) -> Self:
        """Silences the warning that values of the checkpoint were never used (S30)."""
        return self


class CheckpointLoadStatus(LoadStatus):
    """The status of an object-based checkpoint that is being restored.

    It follows the program: an object that is built later and restored then counts as matched,
    and a value that a later restore has set does too (S24).
    """

    def __init__(
        self, restore: Restore, root: Any, attached: Sequence[tuple[str, Any]] = ()
    ) -> None:
        self._restore = restore
        self._root = root
        self._attached = attached

    def assert_consumed(self) -> CheckpointLoadStatus:
        """Fails unless every value found its object and every object its value (S27).

        Raises:
          AssertionError: names the paths, at most ten of a kind and a count.
        """
        problems = self._unmatched_objects()
        restore = self._restore
        unused = [
            _label(restore.paths[node_id], attribute)
            for node_id, attribute in restore.values
            if (node_id, attribute) not in restore.consumed
        ]
        if unused:
            problems.append(_listing("value(s) in the checkpoint have no object", unused))
        self._raise(problems)
        return self

    def assert_existing_objects_matched(self) -> CheckpointLoadStatus:
        """Fails if an object that exists has no value in the checkpoint (S28).

        Objects that are not built yet, containers that hold no values, and values that no
        object matches do not make it fail.

        Raises:
          AssertionError: names the paths, at most ten and a count.
        """
        self._raise(self._unmatched_objects())
        return self

    def assert_nontrivial_match(self) -> CheckpointLoadStatus:
        """Fails if nothing but the root matched (S29).

        Raises:
          AssertionError: says whether the root had no dependencies or the checkpoint is of
            another program.
        """
        if self._restore.bound_count <= 1:
            if len(self._walk().objects) <= 1:
                self._raise(
                    [f"nothing to restore: no dependencies were added to {self._root!r} yet"]
                )
            self._raise(
                [
                    "nothing but the root matched: the checkpoint is of another program. "
                    + _listing("object(s) were not restored", self._objects_without_value())
                ]
            )
        return self

    def run_restore_ops(self, session: Any = None) -> None:
        """Does nothing eagerly: values are in place when `restore` returns (S34)."""

    def initialize_or_restore(self, session: Any = None) -> None:
        """Does nothing eagerly: variables are initialized when they are made (S35)."""

    def expect_partial(self) -> CheckpointLoadStatus:
        """Silences the warning that values of the checkpoint were never used (S30)."""
        self._restore.expect_partial()
        return self

    def _walk(self) -> ObjectWalk:
        return walk(self._root, adapter_of, self._attached)

    def _objects_without_value(self) -> list[str]:
        """The paths of objects with a value that neither this nor a later restore has set."""
        found = self._walk()
        missing = []
        for node_id, obj in enumerate(found.objects):
            adapter = found.adapters[node_id]
            sources = adapter.record(obj).sources
            try:
                attributes: Iterable[str] = adapter.values(obj)
            except NotImplementedError:  # NotCheckpointable: saving it is the error
                continue
            missing += [
                _label(found.path(node_id), attribute)
                for attribute in attributes
                if sources.get(attribute, (0, 0))[0] < self._restore.uid
            ]
        return missing

    def _unmatched_objects(self) -> list[str]:
        problems = []
        missing = self._objects_without_value()
        if missing:
            problems.append(_listing("object(s) have no value in the checkpoint", missing))
        conflicts = [
            f"{conflict.claimed_by or 'the root'} ({conflict.what})"
            for conflict in self._restore.conflicts
        ]
        if conflicts:
            problems.append(_listing("claim(s) were refused", conflicts))
        return problems

    def _raise(self, problems: list[str]) -> None:
        if problems:
            raise AssertionError(f"{self._restore.reader.prefix}: " + "; ".join(problems))


class InitializationOnlyStatus(LoadStatus):
    """The status of `restore(None)`: there was no checkpoint (S32)."""

    def assert_consumed(self) -> InitializationOnlyStatus:
        """Always raises AssertionError."""
        raise self._error()

    def assert_existing_objects_matched(self) -> InitializationOnlyStatus:
        """Always raises AssertionError."""
        raise self._error()

    def assert_nontrivial_match(self) -> InitializationOnlyStatus:
        """Always raises AssertionError."""
        raise self._error()

    def run_restore_ops(self, session: Any = None) -> None:
        """Always raises AssertionError."""
        raise self._error()

    def initialize_or_restore(self, session: Any = None) -> None:
        """Initializes the variables; eagerly they were when they were made."""

    @staticmethod
    def _error() -> AssertionError:
        return AssertionError("No checkpoint specified (save_path=None): nothing is restored")


def _label(path: str, attribute: str) -> str:
    """How a message names a value: by its object's path, and by itself if that is not enough."""
    name = path or "the root"
    if attribute in (VARIABLE_VALUE, PYTHON_STATE):
        return name
    return f"{name} ({attribute})"


def _listing(what: str, paths: list[str]) -> str:
    shown = ", ".join(paths[:_MOST_PATHS])
    more = len(paths) - _MOST_PATHS
    return f"{len(paths)} {what}: {shown}" + (f", … and {more} more" if more > 0 else "")
