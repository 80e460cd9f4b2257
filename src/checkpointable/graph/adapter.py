"""The interface by which objects of a framework become checkpointable: `Adapter`.

One `Adapter` serves a family of types. It returns an object's named children, its values, its
slots if it is an optimizer, and the notes that restores leave on it (`RestoreNotes`).
"""

from __future__ import annotations

import abc
import functools
from typing import TYPE_CHECKING, Any

from checkpointable.graph.value import ValueSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from checkpointable.graph.restore_notes import RestoreNotes
    from checkpointable.graph.slots import Slots
    from checkpointable.graph.value import ValueFactory

__all__ = ["Adapter", "Watcher"]


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
