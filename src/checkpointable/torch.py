"""`cp.torch`: classes for users of PyTorch. PyTorch is imported when it is first used."""

from __future__ import annotations

from typing import Any

import torch as _torch

from checkpointable.common.generators import with_random_state
from checkpointable.common.logs import logger

__all__ = ["RandomState"]


class RandomState:
    """The state of PyTorch's random number generators, saved with every checkpoint (S8).

    A restore sets the state. Everything that draws random numbers afterwards changes it again: if
    your program builds modules after `restore`, attach the random state last.

    Args:
      generator: the generator whose state is saved. None: the global generators of the CPU and of
        every CUDA device.

    Example:
        ckpt = cp.Checkpoint(model=model, optimizer=optimizer, rng=cp.torch.RandomState())
        ckpt.save("runs/a/ckpt")

        shuffling = torch.Generator()
        loader = DataLoader(data, shuffle=True, generator=shuffling)
        ckpt = cp.Checkpoint(model=model, data=cp.torch.RandomState(shuffling))
    """

    def __init__(self, generator: _torch.Generator | None = None) -> None:
        self._generator = generator
        if generator is not None:
            with_random_state.add(generator)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state.

        Returns:
          `{"generator": state}`, or `{"cpu": state, "cuda": [state per device]}` for the global
          generators, without `"cuda"` if there is no CUDA device. A state is a tensor of bytes.
        """
        if self._generator is not None:
            return {"generator": self._generator.get_state()}
        state: dict[str, Any] = {"cpu": _torch.get_rng_state()}
        if _torch.cuda.is_available():
            state["cuda"] = _torch.cuda.get_rng_state_all()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Sets the state.

        If the numbers of CUDA devices differ, the state of as many as possible is set, with a
        warning.

        Args:
          state: a result of `state_dict`.

        Raises:
          ValueError: `state` is that of one generator and this object stands for the global ones,
            or the reverse.
        """
        if (self._generator is not None) != ("generator" in state):
            raise ValueError(_MISMATCH[self._generator is not None])
        if self._generator is not None:
            self._generator.set_state(state["generator"])
            return
        _torch.set_rng_state(state["cpu"])
        stored = state.get("cuda", [])
        present = _torch.cuda.device_count() if _torch.cuda.is_available() else 0
        if len(stored) != present and stored:
            logger.warning(
                "the checkpoint has the random state of %d CUDA device(s), but the program has %d: "
                "the first %d are restored",
                len(stored),
                present,
                min(len(stored), present),
            )
        for device, device_state in enumerate(stored[:present]):
            _torch.cuda.set_rng_state(device_state, device)


# Whether this object stands for one generator -> message.
_MISMATCH = {
    True: (
        "the checkpoint has the state of the global generators, but the program has one generator: "
        "restore into RandomState()"
    ),
    False: (
        "the checkpoint has the state of one generator, but the program has the global ones: "
        "restore into RandomState(generator)"
    ),
}
