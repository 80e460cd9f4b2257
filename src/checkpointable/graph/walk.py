"""Walks the objects of a program breadth-first from the root (S9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from checkpointable.errors import at_path, shown_path
from checkpointable.graph.object_graph import Child, SlotVariable
from checkpointable.graph.paths import escape, follow, slot_path, split

if TYPE_CHECKING:
    from checkpointable.graph.adapter import Adapter
    from checkpointable.graph.slots import Slots

__all__ = ["ObjectWalk", "walk"]

AdapterOf = Callable[[Any], "Adapter | None"]

# The edge by which the walk first reached an object: parent and local name. None for the root and
# for slots.
_Origin = tuple[int, str]

# Makes edges without the named tuple's slower constructor: one for each object.
_new = tuple.__new__


class ObjectWalk:
    """The objects that a walk reached. A node id is an index into `objects`.

    The root has id 0; slots come last.

    Attributes:
      objects: Every object, once.
      adapters: The adapter of each object.
      children: The dependencies of each object.
      slot_variables: Node id of an optimizer -> its slots.
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
        """Returns the path of an object: the first that reaches it, or that of a slot (S10, S11).

        Paths are not kept: on a deep graph, all paths together would be larger than the graph by
        a factor of its depth.
        """
        if node_id in self._slot_origins:
            optimizer_id, slot = self._slot_origins[node_id]
            variable = self.path(slot.original_variable_node_id)
            return slot_path(variable, self.path(optimizer_id), slot.slot_name)
        origin = self._origins[node_id]
        if origin is None:
            return ""
        # Callers ask for the paths of siblings in succession, and these have the same parent path.
        parent, local_name = origin
        last_parent, path = self._last_parent
        if parent != last_parent:
            path = self._climb(parent)
            self._last_parent = (parent, path)
        segment = escape(local_name)
        # Decided by the node, not by its path: the path of a dependency named "" is "", too.
        return f"{path}/{segment}" if parent else segment

    def _climb(self, node_id: int) -> str:
        segments: list[str] = []
        origin = self._origins[node_id]
        while origin is not None:
            segments.append(escape(origin[1]))
            origin = self._origins[origin[0]]
        return "/".join(reversed(segments))

    def has_path(self, path: str) -> bool:
        """Returns whether a path leads to an object; it need not be the first that does."""
        return follow(split(path), self.children.__getitem__) is not None

    def full_name(self, node_id: int) -> str:
        """Returns the global name of an object (S38), "" if it has none."""
        given = self.adapters[node_id].full_name(self.objects[node_id])
        origin = self._origins[node_id]
        if given or origin is None or not self.adapters[origin[0]].names_dependencies:
            return given
        names: list[str] = []
        while origin is not None and self.adapters[origin[0]].names_dependencies:
            names.append(origin[1])
            origin = self._origins[origin[0]]
        return ".".join(reversed(names))

    def node_id(self, obj: Any) -> int | None:
        """Returns the node of an object, None if the walk did not reach it."""
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
    """Walks all objects that are reachable from `root`.

    Args:
      root: An object that `adapter_of` knows.
      adapter_of: Returns the adapter of an object, None if the object is not checkpointable.
      attached: Further dependencies of the root, which the root does not track.

    Raises:
      TypeError: The root is not checkpointable.
      ValueError, NotImplementedError: An object cannot be saved as it is. This error, and any
        other that an object's adapter raises, names the object's path (`errors.at_path`).
    """
    adapter = adapter_of(root)
    if adapter is None:
        raise TypeError(
            f"{type(root).__name__} cannot be the root of a checkpoint: it is neither a "
            "Checkpointable nor an object of a framework that an adapter knows"
        )
    walked = ObjectWalk()
    walked._add(root, adapter, None)
    extra = list(attached)
    node_of = walked._ids.get
    for position, _ in enumerate(walked.objects):  # the loop appends to it
        dependencies = _children(walked, position)
        if position == 0 and extra:
            dependencies = [*dependencies, *extra]
        edges: list[Child] = []
        for local_name, child in dependencies:
            node_id = node_of(id(child))
            if node_id is None:
                child_adapter = adapter_of(child)
                if child_adapter is None:
                    raise TypeError(
                        f"{_name(walked, position)}: its dependency {local_name!r} is a "
                        f"{type(child).__name__}, which is not checkpointable"
                    )
                node_id = walked._add(child, child_adapter, (position, local_name))
            edges.append(_new(Child, (node_id, local_name)))
        if edges:
            walked.children[position] = edges
    _add_slots(walked, adapter_of)
    return walked


def _name(walked: ObjectWalk, node_id: int) -> str:
    return shown_path(walked.path(node_id))


def _children(walked: ObjectWalk, node_id: int) -> Iterable[tuple[str, Any]]:
    try:
        return walked.adapters[node_id].children(walked.objects[node_id])
    except Exception as error:
        # The object knows the problem; only the walk knows its path.
        at_path(error, walked.path(node_id))
        raise


def _add_slots(walked: ObjectWalk, adapter_of: AdapterOf) -> None:
    """Adds the slots whose optimizer and variable were both reached (S11)."""
    reached = len(walked.objects)
    for optimizer_id in range(reached):
        slots = walked.adapters[optimizer_id].slots(walked.objects[optimizer_id])
        if slots is not None:
            _add_slots_of(walked, optimizer_id, slots, reached, adapter_of)


def _add_slots_of(
    walked: ObjectWalk, optimizer_id: int, slots: Slots, reached: int, adapter_of: AdapterOf
) -> None:
    variables = slots.variables()
    if variables is None:
        candidates: Iterable[int] = range(reached)
    else:
        ids = (walked._ids.get(id(variable)) for variable in variables)
        candidates = sorted({node_id for node_id in ids if node_id is not None})
    for slot_name in slots.names():
        for variable_id in candidates:
            slot = slots.get(walked.objects[variable_id], slot_name)
            if slot is None:
                continue
            node_id = walked._ids.get(id(slot))
            if node_id is None:
                adapter = adapter_of(slot)
                if adapter is None:
                    raise TypeError(
                        f"{_name(walked, optimizer_id)}: slot {slot_name!r} of "
                        f"{_name(walked, variable_id)} is a {type(slot).__name__}, which is "
                        "not checkpointable"
                    )
                node_id = walked._add(slot, adapter, None)
            elif node_id < reached or node_id in walked._slot_origins:
                raise NotImplementedError(
                    f"{_name(walked, optimizer_id)}: slot {slot_name!r} of "
                    f"{_name(walked, variable_id)} is also stored as {_name(walked, node_id)}; "
                    "a slot variable can be neither a dependency nor the slot of two variables. "
                    "Assign it with NoDependency"
                )
            reference = SlotVariable(variable_id, slot_name, node_id)
            walked._slot_origins[node_id] = (optimizer_id, reference)
            walked.slot_variables.setdefault(optimizer_id, []).append(reference)
