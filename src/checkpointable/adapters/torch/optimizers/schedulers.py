"""Learning rate schedulers: Python state, and what making one did to its optimizer."""

from __future__ import annotations

from typing import Any

from checkpointable.adapters.state.state_dict import StateDictAdapter
from checkpointable.adapters.torch.optimizers.groups import put_again

__all__ = ["SchedulerAdapter"]


class SchedulerAdapter(StateDictAdapter):
    """Schedulers, whose making sets the hyperparameters of their optimizer.

    Made after its optimizer was restored, a scheduler has set the learning rate back to where
    it begins; restored, it leaves it there. So what was restored is put again.
    """

    def put(self, obj: Any, state: Any, uid: int) -> None:
        obj.load_state_dict(state)
        for optimizer in _optimizers(obj):
            put_again(optimizer, uid)


def _optimizers(scheduler: Any) -> list[Any]:
    found: dict[int, Any] = {}
    stack = [scheduler]
    while stack:
        one = stack.pop()
        optimizer = getattr(one, "optimizer", None)
        if optimizer is not None:
            found[id(optimizer)] = optimizer
        stack += getattr(one, "_schedulers", ())
    return list(found.values())
