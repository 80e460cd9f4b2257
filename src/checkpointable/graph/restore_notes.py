"""The notes that restores leave on an object: `RestoreNotes`."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PendingChild", "PendingVariables", "RestoreNotes", "resolve_pending"]


class PendingChild(Protocol):
    """A restore that waits for a dependency of an object to be added (S21)."""

    @property
    def is_wanted(self) -> bool:
        """Returns whether the restore is still needed: False once a later one has replaced it."""

    def replaces(self, earlier: PendingChild) -> bool:
        """Returns whether this restores everything that `earlier` would restore."""

    def plain_variable(self) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
        """Returns dtype and shape of the awaited dependency, if it is a variable without children.

        Returns None otherwise, and if another object has been restored from it already.
        """

    @property
    def uid(self) -> int:
        """The uid of the restore. It grows with every restore, and the highest wins (S24)."""

    def attach(self, child: Any) -> None:
        """Matches, checks and restores the dependency, which was just added."""

    def initial_value(
        self, dtype: np.dtype[Any], shape: tuple[int, ...] | None
    ) -> tuple[np.ndarray[Any, np.dtype[Any]], tuple[int, int]] | None:
        """Returns a new array with the value of the awaited variable.

        Args:
          dtype: The dtype of the variable.
          shape: The shape of the variable; None for any.

        Returns:
          The array, and the entry for `RestoreNotes.sources`; None if the awaited dependency is
          not a variable.

        Raises:
          CheckpointMismatchError: The stored value has another dtype or shape.
        """


class PendingVariables(Protocol):
    """A restore that waits for an optimizer to get the variables of some slots (S22)."""

    def retry(self) -> None:
        """Restores the slots of the variables that the optimizer now has."""


_NOWHERE = (0, 0)  # no restore, no node


class RestoreNotes:
    """The notes that restores leave on one object.

    Args:
      owner: The object; None if a subclass finds it in another way.

    Attributes:
      pending: Local name -> the restores that wait for a dependency of that name.
      sources: Attribute -> (uid of the restore, node) that the attribute's value came from.
      waiting_slots: The restore that waits for an optimizer to get further variables, or None.
      owner: A weak reference to the object, if its type allows one.
    """

    __slots__ = ("__weakref__", "owner", "pending", "sources", "waiting_slots")

    def __init__(self, owner: Any = None) -> None:
        self.pending: dict[str, list[PendingChild]] = {}
        self.sources: dict[str, tuple[int, int]] = {}
        self.waiting_slots: PendingVariables | None = None
        try:
            self.owner: weakref.ref[Any] | None = None if owner is None else weakref.ref(owner)
        except TypeError:  # tuples take no weak references
            self.owner = None

    def last_uid(self, attribute: str) -> int:
        """Returns the uid of the latest restore that set a value, 0 if none did."""
        return self.sources.get(attribute, _NOWHERE)[0]

    def waits(self, local_name: str) -> None:
        """Called when a restore begins to wait for a dependency of that name.

        Override it for objects whose framework can report the dependency.
        """


def resolve_pending(notes: RestoreNotes, local_name: str, child: Any) -> None:
    """Restores `child`, which was just added under `local_name`, if a restore waits for it.

    The latest restore is applied first; earlier ones restore the values that it lacks (S24).

    Args:
      notes: The notes of the object that got the child.
      local_name: The name of the dependency.
      child: The child.
    """
    waiting = notes.pending.pop(local_name, None)
    if not waiting:
        return
    waiting = sorted(waiting, key=lambda p: p.uid, reverse=True)
    for index, pending in enumerate(waiting):
        try:
            pending.attach(child)
        except BaseException:
            # A child that did not fit was not restored: the restore waits for the next one.
            notes.pending[local_name] = [*waiting[index:], *notes.pending.get(local_name, ())]
            raise
