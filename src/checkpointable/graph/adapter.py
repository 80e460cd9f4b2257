"""The interface by which objects of a framework become checkpointable: `Adapter`.

One `Adapter` serves a family of types. It returns an object's named children, its values, its
slots if it is an optimizer, and the notes that restores leave on it (`RestoreNotes`).
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


class NewSlot(NamedTuple):
    """A slot that a restore is about to give to an optimizer (S22).

    Attributes:
      slot: The object that becomes the slot, which an adapter knows. None if only the optimizer
        can make it.
      values: The values of `slot` by attribute name. They are restored before `keep` is called.
      keep: Gives the optimizer its slot and returns the slot, which may be another object than
        `slot` with the same values. If only the optimizer can make the slot, `keep` asks it to,
        and returns None; the optimizer then passes the slot to `attach` of the argument.
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

        Changes nothing: the optimizer gets the slot when `NewSlot.keep` is called, after all values
        of the restore have been checked (S25).

        Args:
          variable: The variable whose slot it is.
          slot_name: The name of the slot.
          dtype: The dtype of the slot, if the checkpoint stores it as one array. None: it is
            stored as Python state.
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
    """Watches the objects of one framework for new dependencies while a restore waits for one.

    When a hook sees that an object has gained a dependency, call
    `resolve_pending(notes, local_name, child)`. Dependencies that no hook sees are detected at
    every save, restore and status call.

    Example:
        class LayerWatcher(Watcher):
            def start(self):
                self._hook = framework.on_new_child(self._added)

            def stop(self):
                self._hook.remove()

            def _added(self, parent, name, child):
                resolve_pending(notes_of(parent), name, child)
    """

    @abc.abstractmethod
    def start(self) -> None:
        """Starts watching: a restore waits for a dependency of an object."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Stops watching: no restore waits any longer."""


class Adapter(abc.ABC):
    """Makes the objects of one family of types checkpointable.

    An adapter is stateless: one instance serves all objects of its types. A subclass implements
    `children`, `values` and `notes`; the other methods have defaults.

    Example:
        class PointAdapter(Adapter):
            def children(self, obj):
                return ()

            def values(self, obj):
                def write(contents):
                    obj.position[:] = contents

                return {"POSITION": cp.Value("float32", (2,), lambda: obj.position, write)}

            def notes(self, obj):
                return obj.restore_notes  # a RestoreNotes(obj) that its constructor made

    Attributes:
      may_overlook: Whether objects may hold state that is not saved although it looks saved.
        `overlooked` is called only then.
      names_dependencies: Whether the global name of a dependency consists of all local names
        from the outermost such object to the dependency, joined by dots.
      watcher: Watches for new dependencies. None for objects that call `resolve_pending`
        themselves when they gain one.
    """

    @abc.abstractmethod
    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        """Returns the dependencies, (local name, object) each, in the order of tracking.

        Each object must be one that an adapter knows.

        Raises:
          ValueError, NotImplementedError: The object cannot be saved; the path is added.
        """

    def child(self, obj: Any, local_name: str) -> Any | None:
        """Returns the dependency of that name, or None."""
        for name, child in self.children(obj):
            if name == local_name:
                return child
        return None

    def lookup(self, obj: Any) -> Callable[[str], Any | None]:
        """Returns a function from a local name to the dependency of `obj`, for many names."""
        return functools.partial(self.child, obj)

    @abc.abstractmethod
    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        """Returns the values of the object by attribute name, without those of its children.

        A value is a `Value`, or a function that makes it from its key in the checkpoint.
        """

    def value_names(self, obj: Any) -> Iterable[str]:
        """Returns the names of the values that have contents."""
        values = self.values(obj).items()
        return [name for name, made in values if not (isinstance(made, ValueSpec) and made.absent)]

    @abc.abstractmethod
    def notes(self, obj: Any) -> RestoreNotes:
        """Returns the notes of the object: the same `RestoreNotes` as long as the object lives.

        Concurrent calls for one object return the same notes.
        """

    def slots(self, obj: Any) -> Slots | None:
        """Returns the slots of an optimizer; None for any other object."""
        return None

    may_overlook = False
    names_dependencies = False
    watcher: Watcher | None = None

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        """Returns (attribute, problem) of state that looks saved and is not, each once.

        Args:
          obj: The object.
          node_id: Returns the node of an object that is saved; None for any other object.
        """
        return ()

    def outside_state_dict(self, obj: Any) -> Iterable[str]:
        """Returns the local names of dependencies that are not in the object's state dict (S38)."""
        return ()

    def initializable(self, obj: Any) -> ValueSpec | None:
        """Returns a value for an object that must be initialized but has no values (S35)."""
        return None

    def full_name(self, obj: Any) -> str:
        """Returns the global name for name-based checkpoints (S38), "" if it has none."""
        return ""
