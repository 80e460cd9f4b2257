"""Learning rate schedulers: Python state that affects the hyperparameters of an optimizer."""

from __future__ import annotations

from typing import Any

from checkpointable.adapters.state.state_dict import StateDictAdapter
from checkpointable.adapters.torch.optimizers.param_groups import put_again
from checkpointable.adapters.torch.private_api import inner_schedulers

__all__ = ["SchedulerAdapter"]


class SchedulerAdapter(StateDictAdapter):
    """Schedulers. Constructing one sets the hyperparameters of its optimizer.

    A scheduler that is constructed after its optimizer was restored resets the learning rate to
    its initial value, and restoring the scheduler does not change it back. So the restored
    hyperparameters are set again.
    """

    def put(self, obj: Any, state: Any, uid: int) -> None:
        obj.load_state_dict(state)
        for optimizer in _optimizers(obj):
            put_again(optimizer, uid)


def _optimizers(scheduler: Any) -> list[Any]:
    optimizers: dict[int, Any] = {}
    stack = [scheduler]
    while stack:
        one = stack.pop()
        optimizer = getattr(one, "optimizer", None)
        if optimizer is not None:
            optimizers[id(optimizer)] = optimizer
        stack += inner_schedulers(one)
    return list(optimizers.values())
