"""Checkpointable: the base class that tracks the objects in its attributes (S1-S5)."""

from __future__ import annotations

from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from checkpointable.graph.registry import adapter_of
from checkpointable.graph.restore_notes import resolve_pending
from checkpointable.tracking.dependencies import dependencies_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from checkpointable.graph.value import ValueFactory, ValueSpec
    from checkpointable.tracking.variable import Variable

__all__ = [
    "Checkpointable",
    "CheckpointableReference",
    "NoDependency",
    "NotCheckpointable",
]

T = TypeVar("T")


class CheckpointableReference(NamedTuple):
    """A dependency: its local name and the object."""

    name: str
    ref: Any


class NoDependency(Generic[T]):
    """Marks a value that is assigned without being tracked (S4).

    The attribute, list item or dict item becomes the value itself.

    Args:
      value: Any object.

    Example:
        self.teacher = cp.NoDependency(teacher)   # self.teacher is teacher; not saved
    """

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"NoDependency({self.value!r})"


class Checkpointable:
    """Base class of objects that are saved together with the objects they consist of.

    Every checkpointable object that is assigned to an attribute becomes a dependency under the
    name of the attribute; so do lists, tuples and dicts of such objects. Numbers, strings, None
    and bare NumPy arrays are not tracked. A subclass need not call `__init__`.

    Methods whose names start with an underscore are hooks: a subclass may call or override
    them. They have underscores because the namespace of a Checkpointable belongs to its user.

    Example:
        class Net(cp.Checkpointable):
            def __init__(self):
                self.kernel = cp.Variable(np.zeros((3, 4)))
                self.blocks = [Block(), Block()]
    """

    def __setattr__(self, name: str, value: Any) -> None:
        current = _stored(self, name)
        if isinstance(value, NoDependency):
            self._untrack_attribute(name, current)
            dependencies_of(self).left_out |= {name}
            super().__setattr__(name, value.value)
            return
        value = wrap(value)
        if adapter_of(value) is None:
            self._untrack_attribute(name, current)
            super().__setattr__(name, value)
            return
        if type(self)._track_checkpointable is not Checkpointable._track_checkpointable:
            # If a subclass overrides tracking, call the override, as TensorFlow does.
            self._track_checkpointable(value, name=name, overwrite=True)
            super().__setattr__(name, value)
            return
        # Tracked before it is assigned, so that a property that assigns in turn keeps the
        # order of TensorFlow; restored after, so that its values are in place by then (S21).
        tracked = dependencies_of(self)
        before = tracked.by_name.get(name)
        if before is value and current is value:
            return
        tracked.by_name[name] = value
        try:
            super().__setattr__(name, value)
        except BaseException:
            if before is None:
                del tracked.by_name[name]
            else:
                tracked.by_name[name] = before
            raise
        resolve_pending(tracked, name, value)

    def __delattr__(self, name: str) -> None:
        current = _stored(self, name)
        super().__delattr__(name)
        self._untrack_attribute(name, current)

    def _untrack_attribute(self, name: str, current: Any) -> None:
        """Drops the dependency `name` if it was made by assigning the attribute (S2)."""
        dependencies = dependencies_of(self).by_name
        if current is not _MISSING and dependencies.get(name, _MISSING) is current:
            del dependencies[name]

    def _track_checkpointable(self, checkpointable: Any, name: str, overwrite: bool = False) -> Any:
        """Adds a dependency and returns it; restores it if a restore waits for it.

        Args:
          checkpointable: The object.
          name: The local name.
          overwrite: Whether it may replace a dependency of that name.

        Raises:
          TypeError: The object is not checkpointable, or `name` is not a string.
          ValueError: There is another dependency of that name, and `overwrite` is False.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of a dependency must be a str, not {type(name).__name__}")
        checkpointable = wrap(checkpointable)
        if adapter_of(checkpointable) is None:
            raise TypeError(
                f"cannot track {name!r}: {type(checkpointable).__name__} is not checkpointable"
            )
        current = self._lookup_dependency(name)
        if current is not None and current is not checkpointable and not overwrite:
            raise ValueError(
                f"a dependency named {name!r} is already declared on this "
                f"{type(self).__name__} (a {type(current).__name__}); names are unique within "
                "their owner. Pass overwrite=True to replace it"
            )
        tracked = dependencies_of(self)
        tracked.by_name[name] = checkpointable
        resolve_pending(tracked, name, checkpointable)
        return checkpointable

    @property
    def _checkpoint_dependencies(self) -> Sequence[tuple[str, Any]]:
        """The dependencies in order, a `CheckpointableReference(name, ref)` each."""
        return [CheckpointableReference(*item) for item in dependencies_of(self).by_name.items()]

    def _lookup_dependency(self, name: str) -> Any | None:
        """Returns the dependency of that name, those that an override adds included, or None."""
        dependency = dependencies_of(self).by_name.get(name)
        cls = type(self)
        if dependency is None and cls._checkpoint_dependencies is not _TRACKED_DEPENDENCIES:
            for local_name, ref in self._checkpoint_dependencies:
                if local_name == name:
                    return ref
        return dependency

    def _gather_saveables_for_checkpoint(self) -> Mapping[str, ValueSpec | ValueFactory]:
        """Returns the object's values: attribute name -> `Value`, or a function key -> `Value`."""
        return {}

    def _add_variable(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = "float32",
        initializer: Any = None,
    ) -> Variable:
        """Creates a variable that this object tracks; see `add_variable`."""
        from checkpointable.tracking.add_variable import create_tracked_variable

        return create_tracked_variable(self, name, shape, dtype, initializer)


class NotCheckpointable(Checkpointable):
    """Base class of objects that must not be saved (S4).

    Saving a graph that contains one raises NotImplementedError, which names the object's path.

    Example:
        class Connection(cp.NotCheckpointable):
            ...
    """

    def _gather_saveables_for_checkpoint(self) -> Mapping[str, ValueSpec | ValueFactory]:
        raise NotImplementedError(
            f"{type(self).__name__} is NotCheckpointable: it cannot be saved. Assign it with "
            "NoDependency to leave it out of the checkpoint"
        )


class _Missing:
    pass


_MISSING: Any = _Missing()


def _stored(obj: Any, name: str) -> Any:
    """Returns the attribute from the instance's dict or from a slot of its class."""
    stored = obj.__dict__.get(name, _MISSING)
    if stored is _MISSING and isinstance(getattr(type(obj), name, None), MemberDescriptorType):
        stored = getattr(obj, name, _MISSING)
    return stored


def wrap(value: Any) -> Any:
    """Returns `value`, or its tracked form if it is a plain container (S3)."""
    if type(value) in _PLAIN_CONTAINERS or isinstance(value, tuple):
        from checkpointable.tracking.containers import wrap_container

        return wrap_container(value)
    return value


def _plain_containers() -> frozenset[type]:
    from collections import OrderedDict

    # Exactly these types: a subclass (Counter, for example) may behave differently.
    return frozenset((list, dict, OrderedDict))


_PLAIN_CONTAINERS = _plain_containers()


_TRACKED_DEPENDENCIES = Checkpointable._checkpoint_dependencies
