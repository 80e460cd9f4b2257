"""The save counter of a Checkpoint, which numbers its saves and is saved with them (S15)."""

from __future__ import annotations

from typing import Any

import numpy as np

from checkpointable.graph.registry import adapter_of
from checkpointable.graph.restore_notes import resolve_pending
from checkpointable.saving.numbering import in_graph
from checkpointable.tracking.add_variable import add_variable
from checkpointable.tracking.base import Checkpointable
from checkpointable.tracking.variable import Variable

__all__ = ["COUNTER", "counter_beside", "counter_of", "usable_counter"]

COUNTER = "save_counter"  # the local name that TensorFlow uses


def counter_of(checkpoint: Checkpointable) -> Variable:
    """Returns the counter that is a dependency of `checkpoint`; creates it if there is none."""
    # It exists already if an interrupt came before the caller noted it.
    counter: Variable | None = checkpoint._lookup_dependency(COUNTER)
    if counter is None:
        counter = add_variable(checkpoint, COUNTER, dtype=np.int64, initializer=0)
    return counter


def counter_beside(root: Any, attached: list[tuple[str, Any]]) -> Variable:
    """Creates a counter for a root that must not change; restores it if a restore waits for it."""
    adapter = adapter_of(root)
    assert adapter is not None
    counter = Variable(0, name=COUNTER, dtype=np.int64)
    attached.append((COUNTER, counter))
    resolve_pending(adapter.notes(root), COUNTER, counter)
    return counter


def usable_counter(root: Any) -> Any | None:
    """Returns the dependency of the root that has the counter's name, if it can count.

    Raises:
      ValueError: it is a variable of a graph, which only a session can increment.
    """
    adapter = adapter_of(root)
    counter = None if adapter is None else adapter.child(root, COUNTER)
    if in_graph(counter) is not None:
        raise ValueError(
            "Checkpoint: the root has a save_counter of a graph. Only a session can increment it: "
            "use CheckpointableSaver(root), whose save takes it as checkpoint_number="
        )
    can_count = adapter_of(counter) is not None and hasattr(counter, "assign_add")
    return counter if can_count else None
