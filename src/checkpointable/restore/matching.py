"""Matches the nodes of a checkpoint with the program's objects. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.errors import at_path
from checkpointable.graph.registry import adapter_of
from checkpointable.restore.binding import Binding
from checkpointable.restore.match import MissingChild
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
    """Matches nodes with objects, and with all objects below them, breadth-first (S19).

    Args:
      restore: the restore, with what was matched before.
      starts: (node, object, edge that leads to the object), where the match starts.
      attached: further dependencies of the first object, which it does not track itself.
      optimizers: nodes of optimizers that were matched before, to match their slots again.
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
    return matcher.binding.match


class _Matcher:
    def __init__(self, restore: RestoreContext) -> None:
        self.binding = Binding(restore)
        self.values = ValueMatcher(self.binding)
        self.slots = SlotMatcher(self.binding, self.values)
        self._restore = restore
        self._nodes = restore.graph.nodes

    def visit(self, node_id: int, extra: dict[str, Any]) -> None:
        """Matches the values, dependencies and slots of a node that was just bound."""
        obj, adapter = self.binding.match.objects[node_id]
        node = self._nodes[node_id]
        if node.attributes:
            self.values.match(node_id, obj, adapter)
        if node.children:
            try:
                self._match_children(node_id, obj, adapter, extra)
            except Exception as error:
                at_path(error, self._restore.paths[node_id])
                raise
        if self.slots.has_any:
            self.slots.match(node_id)

    def _match_children(
        self, node_id: int, obj: Any, adapter: Adapter, extra: dict[str, Any]
    ) -> None:
        lookup = adapter.lookup(obj)
        binding, match, nodes = self.binding, self.binding.match, self._nodes
        bound, objects, enqueue = match.bound, match.objects, binding.queue.append
        is_bound = self._restore.is_bound
        for child_id, local_name in nodes[node_id].children:
            child = lookup(local_name)
            if child is None and extra:
                child = extra.get(local_name)
            child_adapter = None if child is None else adapter_of(child)
            if child_adapter is not None:
                if child_id in bound or is_bound(child_id):
                    binding.bind_known(child_id, child, child_adapter, local_name, node_id)
                else:  # the fast path of `bind_known`
                    bound[child_id] = child_adapter.notes(child)
                    objects[child_id] = (child, child_adapter)
                    enqueue(child_id)
            elif nodes[child_id].may_have_values:
                match.missing.append(MissingChild(bound[node_id], local_name, child_id, node_id))
