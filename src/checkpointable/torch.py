"""What a user of PyTorch needs by name; loaded when it is first used.

import checkpointable as cp

ckpt = cp.Checkpoint(model=model, optimizer=optimizer, rng=cp.torch.RandomState())
"""

from __future__ import annotations

from typing import Any

import torch as _torch

from checkpointable.common.logs import logger

__all__ = ["RandomState"]


class RandomState:
    """The state of PyTorch's random number generators, asked for at every save (S8).

        ckpt = cp.Checkpoint(model=model, rng=cp.torch.RandomState())
        ckpt = cp.Checkpoint(data=cp.torch.RandomState(loader.generator))

    Restoring sets it. What is built after that draws from it again: where a program builds
    modules after `restore`, it attaches its random state last.

    Args:
      generator: the generator whose state it is. None: the global ones, that of the CPU and that
        of every CUDA device.
    """

    def __init__(self, generator: _torch.Generator | None = None) -> None:
        self._generator = generator

    def state_dict(self) -> dict[str, Any]:
        """The states, as tensors."""
        if self._generator is not None:
            return {"generator": self._generator.get_state()}
        state: dict[str, Any] = {"cpu": _torch.get_rng_state()}
        if _torch.cuda.is_available():
            state["cuda"] = _torch.cuda.get_rng_state_all()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Sets the states.

        Raises:
          ValueError: it is the state of one generator and was to be that of the global ones, or
            the other way round.
        """
        if (self._generator is not None) != ("generator" in state):
            own, other = ("one generator", "the global ones")
            if self._generator is None:
                own, other = other, own
            raise ValueError(f"the checkpoint has the state of {other}, the program {own}")
        if self._generator is not None:
            self._generator.set_state(state["generator"])
            return
        _torch.set_rng_state(state["cpu"])
        stored = state.get("cuda", [])
        present = _torch.cuda.device_count() if _torch.cuda.is_available() else 0
        if len(stored) != present and stored:
            logger.warning(
                "the checkpoint has the random state of %d CUDA devices, there are %d: "
                "the first %d are set",
                len(stored),
                present,
                min(len(stored), present),
            )
        for device, own_state in enumerate(stored[:present]):
            _torch.cuda.set_rng_state(own_state, device)
