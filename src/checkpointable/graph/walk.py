"""The program's objects, walked breadth-first from the root (S9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from checkpointable.errors import at_path, shown_path
from checkpointable.graph.object_graph import Child, SlotVariable
from checkpointable.graph.paths import escape, follow, slot_path, split

if TYPE_CHECKING:
    from checkpointable.graph.adapter import Adapter, Slots

__all__ = ["ObjectWalk", "walk"]

AdapterOf = Callable[[Any], "Adapter | None"]

# By what edge the walk first reached an object: parent and local name. None: the root, a slot.
_Origin = tuple[int, str]

# An edge an object: past the class's own, slower way of being made.
_new = tuple.__new__


class ObjectWalk:
    """What a walk found. Node ids are indices into `objects`; the root is 0, slots come last.

    Attributes:
      objects: every object once.
      adapters: the adapter of each.
      children: for each object its dependencies.
      slot_variables: node id of an optimizer -> its slots.
    """

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.adapters: list[Adapter] = []
        self.children: list[Sequence[Child]] = []
        self.slot_variables: dict[int, list[SlotVariable]] = {}
        self._origins: list[_Origin | None] = []
        self._slot_origins: dict[int, tuple[int, SlotVariable]] = {}
        self._ids: dict[int, int] = {}
        self._last_parent = (-1, "")

    def path(self, node_id: int) -> str:
        """The path of an object: the first that reaches it, or a slot's (S10, S11).

        Made anew from the edges at each call, since on a deep graph all paths together would
        be larger than the graph by its depth.
        """
        if node_id in self._slot_origins:
            optimizer_id, slot = self._slot_origins[node_id]
            variable = self.path(slot.original_variable_node_id)
            return slot_path(variable, self.path(optimizer_id), slot.slot_name)
        origin = self._origins[node_id]
        if origin is None:
            return ""
        # Siblings are asked for one after the other, and their parent's path is the same.
        parent, local_name = origin
        last_parent, path = self._last_parent
        if parent != last_parent:
            path = self._climb(parent)
            self._last_parent = (parent, path)
        segment = escape(local_name)
        # By the node, not by its path: that of a dependency named "" is "" too.
        return f"{path}/{segment}" if parent else segment

    def _climb(self, node_id: int) -> str:
        segments: list[str] = []
        origin = self._origins[node_id]
        while origin is not None:
            segments.append(escape(origin[1]))
            origin = self._origins[origin[0]]
        return "/".join(reversed(segments))

    def has_path(self, path: str) -> bool:
        """Whether an object has this path: the first that reaches it, or any other."""
        return follow(split(path), self.children.__getitem__) is not None

    def full_name(self, node_id: int) -> str:
        """The global name of an object (S38), "" if it has none."""
        own = self.adapters[node_id].full_name(self.objects[node_id])
        origin = self._origins[node_id]
        if own or origin is None or not self.adapters[origin[0]].names_dependencies:
            return own
        names: list[str] = []
        while origin is not None and self.adapters[origin[0]].names_dependencies:
            names.append(origin[1])
            origin = self._origins[origin[0]]
        return ".".join(reversed(names))

    def node_id(self, obj: Any) -> int | None:
        """The node of an object, None if the walk did not reach it."""
        return self._ids.get(id(obj))

    def _add(self, obj: Any, adapter: Adapter, origin: _Origin | None) -> int:
        node_id = len(self.objects)
        self._ids[id(obj)] = node_id
        self.objects.append(obj)
        self.adapters.append(adapter)
        self.children.append(())
        self._origins.append(origin)
        return node_id


def walk(
    root: Any,
    adapter_of: AdapterOf,
    attached: Iterable[tuple[str, Any]] = (),
) -> ObjectWalk:
    """Walks from `root` and returns what it found.

    Args:
      root: an object that `adapter_of` knows.
      adapter_of: finds the adapter of an object, None for one that takes no part.
      attached: further dependencies of the root that it does not track itself.

    Raises:
      TypeError: the root takes no part in checkpointing.
      ValueError, NotImplementedError: an object cannot be saved as it is. This error, and any
        other that an object's adapter raises, names the object's path (`errors.at_path`).
    """
    adapter = adapter_of(root)
    if adapter is None:
        raise TypeError(
            f"{type(root).__name__} cannot be the root of a checkpoint: it is neither a "
            "Checkpointable nor an object of a framework that an adapter knows"
        )
    found = ObjectWalk()
    found._add(root, adapter, None)
    extra = list(attached)
    node_of = found._ids.get
    for position, _ in enumerate(found.objects):  # they become more as it goes
        dependencies = _children(found, position)
        if position == 0 and extra:
            dependencies = [*dependencies, *extra]
        edges: list[Child] = []
        for local_name, child in dependencies:
            node_id = node_of(id(child))
            if node_id is None:
                child_adapter = adapter_of(child)
                if child_adapter is None:
                    raise TypeError(
                        f"{_name(found, position)}: its dependency {local_name!r} is a "
                        f"{type(child).__name__}, which takes no part in checkpointing"
                    )
                node_id = found._add(child, child_adapter, (position, local_name))
            edges.append(_new(Child, (node_id, local_name)))
        if edges:
            found.children[position] = edges
    _add_slots(found, adapter_of)
    return found


def _name(found: ObjectWalk, node_id: int) -> str:
    return shown_path(found.path(node_id))


def _children(found: ObjectWalk, node_id: int) -> Iterable[tuple[str, Any]]:
    try:
        return found.adapters[node_id].children(found.objects[node_id])
    except Exception as error:
        # The object knows what is wrong, only the walk knows where it is.
        at_path(error, found.path(node_id))
        raise


def _add_slots(found: ObjectWalk, adapter_of: AdapterOf) -> None:
    """Adds the slots whose optimizer and variable were both reached (S11)."""
    reached = len(found.objects)
    for optimizer_id in range(reached):
        slots = found.adapters[optimizer_id].slots(found.objects[optimizer_id])
        if slots is not None:
            _add_slots_of(found, optimizer_id, slots, reached, adapter_of)


def _add_slots_of(
    found: ObjectWalk, optimizer_id: int, slots: Slots, reached: int, adapter_of: AdapterOf
) -> None:
    own = slots.variables()
    if own is None:
        candidates: Iterable[int] = range(reached)
    else:
        ids = (found._ids.get(id(variable)) for variable in own)
        candidates = sorted({node_id for node_id in ids if node_id is not None})
    for slot_name in slots.names():
        for variable_id in candidates:
            slot = slots.get(found.objects[variable_id], slot_name)
            if slot is None:
                continue
            node_id = found._ids.get(id(slot))
            if node_id is None:
                adapter = adapter_of(slot)
                if adapter is None:
                    raise TypeError(
                        f"{_name(found, optimizer_id)}: slot {slot_name!r} of "
                        f"{_name(found, variable_id)} is a {type(slot).__name__}, which takes "
                        "no part in checkpointing"
                    )
                node_id = found._add(slot, adapter, None)
            elif node_id < reached or node_id in found._slot_origins:
                raise NotImplementedError(
                    f"{_name(found, optimizer_id)}: slot {slot_name!r} of "
                    f"{_name(found, variable_id)} is also stored as {_name(found, node_id)}; "
                    "a slot variable can be neither a dependency nor the slot of two variables. "
                    "Assign it with NoDependency"
                )
            reference = SlotVariable(variable_id, slot_name, node_id)
            found._slot_origins[node_id] = (optimizer_id, reference)
            found.slot_variables.setdefault(optimizer_id, []).append(reference)
