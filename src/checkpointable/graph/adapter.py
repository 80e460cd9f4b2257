"""How an object takes part in checkpointing: the interface that every framework implements.

One `Adapter` serves a family of types. It answers for an object: which named children has it,
which values of its own, is it an optimizer with slots, and where are the notes that restores
leave on it (its `RestoreNotes`).
"""

from __future__ import annotations

import abc
import functools
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from checkpointable.graph.value import ValueSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np

    from checkpointable.graph.value import ValueFactory

__all__ = [
    "Adapter",
    "NewSlot",
    "PendingChild",
    "RestoreNotes",
    "Slots",
    "Watcher",
    "resolve_pending",
]


class PendingChild(Protocol):
    """A restore that waits for a dependency of some object to be added (S21)."""

    @property
    def is_wanted(self) -> bool:
        """False once a later restore brings all that this would."""

    def replaces(self, earlier: PendingChild) -> bool:
        """Whether this brings all that `earlier` would."""

    def plain_variable(self) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
        """Dtype and shape of what is waited for, if that is one variable that depends on nothing.

        None also where another object has it already.
        """

    @property
    def uid(self) -> int:
        """Grows with every call of restore: the highest wins (S24)."""

    def attach(self, child: Any) -> None:
        """The dependency has come: match it, check it, restore it."""

    def initial_value(
        self, dtype: np.dtype[Any], shape: tuple[int, ...] | None
    ) -> tuple[np.ndarray[Any, np.dtype[Any]], tuple[int, int]] | None:
        """A new buffer with the value of the variable waited for, and where it came from.

        None if what is waited for is no plain variable. Raises CheckpointMismatchError if
        it has another dtype or shape (None: any).
        """


class PendingVariables(Protocol):
    """A restore that waits for an optimizer to get the variables of some slots (S22)."""

    def retry(self) -> None:
        """Restores the slots of the variables that it has by now."""


_NOWHERE = (0, 0)  # no restore, no node


class RestoreNotes:
    """What restores note on one object.

    Attributes:
      pending: local name -> the restores that wait for a dependency of that name.
      sources: attribute -> (restore's uid, checkpoint node) of the value it holds.
      waiting_slots: the restore that waits for an optimizer to get further variables, or None.
      owner: a weak reference to the object, where its type allows one.
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

        For objects that tell by a way of their own when they gain one.
        """


def resolve_pending(notes: RestoreNotes, local_name: str, child: Any) -> None:
    """Restores `child`, just added under `local_name`, if a restore waited for it.

    The latest restore goes first; earlier ones fill in what it did not know (S24).
    """
    waiting = notes.pending.pop(local_name, None)
    if not waiting:
        return
    waiting = sorted(waiting, key=lambda p: p.uid, reverse=True)
    for index, pending in enumerate(waiting):
        try:
            pending.attach(child)
        except BaseException:
            # What did not fit was not restored: the next object of that name gets its turn.
            notes.pending[local_name] = [*waiting[index:], *notes.pending.get(local_name, ())]
            raise


class NewSlot(NamedTuple):
    """A slot that a restore is about to give to an optimizer (S22).

    Attributes:
      slot: The object that becomes the slot, which an adapter knows. None if only the optimizer
        can make it.
      values: The values of `slot` by attribute name. They are restored before `keep` is called.
      keep: Gives the optimizer its slot and returns the slot, which may be another object than
        `slot` with the same values. Where only the optimizer can make the slot, now or later,
        it has the optimizer call `attach` of the argument with the slot, and returns None.
    """

    slot: Any
    values: Mapping[str, ValueSpec | ValueFactory]
    keep: Callable[[PendingChild], Any | None]


class Slots(abc.ABC):
    """The slot variables of one optimizer (S11).

    Example:
        class MomentumSlots(Slots):
            def __init__(self, optimizer):
                self._momentum = optimizer.momentum  # parameter -> tensor

            def names(self):
                return ["momentum"]

            def get(self, variable, slot_name):
                return self._momentum.get(variable)

            def prepare(self, variable, slot_name, dtype, shape):
                if slot_name != "momentum" or dtype is None:
                    return None
                slot = Tensor(shape, dtype)

                def keep(pending):
                    self._momentum[variable] = slot
                    return slot

                return NewSlot(slot, {"VARIABLE_VALUE": value_of(slot)}, keep)
    """

    @abc.abstractmethod
    def names(self) -> Iterable[str]:
        """Returns the slot names in use, in a fixed order."""

    @abc.abstractmethod
    def get(self, variable: Any, slot_name: str) -> Any | None:
        """Returns the slot of `variable`, an object that an adapter knows; None if it has none."""

    @abc.abstractmethod
    def prepare(
        self, variable: Any, slot_name: str, dtype: np.dtype[Any] | None, shape: tuple[int, ...]
    ) -> NewSlot | None:
        """Prepares a slot that the checkpoint has and the optimizer does not have yet.

        Changes nothing: the slot is the optimizer's only when `NewSlot.keep` is called, after
        everything that is restored is known to be good (S25).

        Args:
          variable: The variable whose slot it is.
          slot_name: The name of the slot.
          dtype: The dtype of the one array that is the slot in the checkpoint. None: the slot is
            not one array there but Python state.
          shape: The shape of that array.

        Returns:
          The new slot; None if the optimizer keeps no such slot.
        """

    def variables(self) -> Iterable[Any] | None:
        """Returns the variables that the optimizer keeps slots for; None if it takes any.

        Slots of variables that it does not list yet are restored when it lists them.
        """
        return None


class Watcher(abc.ABC):
    """Watches the objects of one framework for new dependencies, while a restore waits for some.

    What it cannot see is found by `adapters.watch.look_again`, at every save, restore and status
    call.
    """

    @abc.abstractmethod
    def start(self) -> None:
        """A restore waits for a dependency of some object: begin to watch."""

    @abc.abstractmethod
    def stop(self) -> None:
        """None does any more."""


class Adapter(abc.ABC):
    """How the objects of one family of types take part. Stateless; one instance each."""

    @abc.abstractmethod
    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        """The named dependencies, in the order in which they were tracked."""

    def child(self, obj: Any, local_name: str) -> Any | None:
        """The dependency of that name, or None."""
        for name, found in self.children(obj):
            if name == local_name:
                return found
        return None

    def lookup(self, obj: Any) -> Callable[[str], Any | None]:
        """`child` of one object, for many names."""
        return functools.partial(self.child, obj)

    @abc.abstractmethod
    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        """Its own values by attribute name, children's not included."""

    def value_names(self, obj: Any) -> Iterable[str]:
        """The names of the values that it has: those that `values` gives, less absent ones."""
        values = self.values(obj).items()
        return [name for name, made in values if not (isinstance(made, ValueSpec) and made.absent)]

    @abc.abstractmethod
    def notes(self, obj: Any) -> RestoreNotes:
        """The notes of the object: always the same one for the same object."""

    def slots(self, obj: Any) -> Slots | None:
        """Its slots if it is an optimizer, else None."""
        return None

    may_overlook = False
    """Whether its objects may hold state that is not saved though it looks as if it were."""

    names_dependencies = False
    """Whether global names are made of local ones below its objects: that of a dependency is
    all local names from the outermost such object on, joined by dots."""

    watcher: Watcher | None = None
    """For objects that do not tell by themselves (by `resolve_pending`) when they gain a
    dependency: what makes them, while a restore waits for one; see `adapters.watch`."""

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        """(attribute, what is wrong) of such state, each once; asked for where `may_overlook`.

        Args:
          node_id: the node of an object that is saved, by whichever path; None for another.
        """
        return ()

    def initializable(self, obj: Any) -> ValueSpec | None:
        """Stands for an object that must be initialized though it has no values (S35)."""
        return None

    def full_name(self, obj: Any) -> str:
        """Its global name for name-based checkpoints (S38), "" if it has none."""
        return ""
