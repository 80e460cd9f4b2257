"""Matching: which node of the checkpoint is which object of the program. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.errors import at_path
from checkpointable.graph.registry import adapter_of
from checkpointable.restore.binding import Binding
from checkpointable.restore.slots import SlotMatcher
from checkpointable.restore.values import ValueMatcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from checkpointable.graph.adapter import Adapter
    from checkpointable.restore.context import RestoreContext
    from checkpointable.restore.match import Edge, Match

__all__ = ["match"]


def match(
    restore: RestoreContext,
    starts: Iterable[tuple[int, Any, Edge]],
    attached: Sequence[tuple[str, Any]] = (),
    optimizers: Iterable[int] = (),
) -> Match:
    """Matches objects with nodes, and what they lead to, breadth-first.

    Args:
      restore: what has been matched before.
      starts: (node, object, edge that led to it) to begin with.
      attached: further dependencies of the first object that it does not track itself.
      optimizers: nodes of optimizers matched before, whose slots are looked for again.
    """
    matcher = _Matcher(restore)
    extra = dict(attached)
    for node_id, obj, (parent, local_name) in starts:
        matcher.binding.bind(node_id, obj, local_name, parent)
    for node_id in optimizers:
        matcher.slots.match_again(node_id)
    queue = matcher.binding.queue
    while queue:
        matcher.visit(queue.popleft(), extra)
        extra = {}
    return matcher.binding.found


class _Matcher:
    def __init__(self, restore: RestoreContext) -> None:
        self.binding = Binding(restore)
        self.values = ValueMatcher(self.binding)
        self.slots = SlotMatcher(self.binding, self.values)
        self._restore = restore
        self._nodes = restore.graph.nodes

    def visit(self, node_id: int, extra: dict[str, Any]) -> None:
        """Matches the values and dependencies of a node that has just got its object."""
        obj, adapter = self.binding.found.objects[node_id]
        node = self._nodes[node_id]
        if node.attributes:
            self.values.match(node_id, obj, adapter)
        if node.children:
            self._match_children(node_id, obj, adapter, extra)
        if self.slots.has_any:
            self.slots.match(node_id)

    def _match_children(
        self, node_id: int, obj: Any, adapter: Adapter, extra: dict[str, Any]
    ) -> None:
        try:
            lookup = adapter.lookup(obj)
        except Exception as error:
            at_path(error, self._restore.paths[node_id])
            raise
        binding, found, nodes = self.binding, self.binding.found, self._nodes
        bound, objects, enqueue = found.bound, found.objects, binding.queue.append
        is_bound = self._restore.is_bound
        for child_id, local_name in nodes[node_id].children:
            try:
                local = lookup(local_name)
            except Exception as error:
                at_path(error, self._restore.paths[node_id])
                raise
            if local is None and extra:
                local = extra.get(local_name)
            local_adapter = None if local is None else adapter_of(local)
            if local_adapter is not None:
                if child_id in bound or is_bound(child_id):
                    binding.bind_known(child_id, local, local_adapter, local_name, node_id)
                else:  # as that would, in fewer steps
                    bound[child_id] = local_adapter.notes(local)
                    objects[child_id] = (local, local_adapter)
                    enqueue(child_id)
            elif nodes[child_id].may_have_values:
                notes = found.bound[node_id]
                found.missing.append((notes, local_name, child_id, node_id))
