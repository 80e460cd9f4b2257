"""Tensors that get other memory, and stay the objects that they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from checkpointable.adapters.torch.tensors.tensor_owners import owners_of

__all__ = ["Exchange", "exchange"]

# Name, tensor, what it is to become. What is done with them leaves the list: nothing else may
# refer to memory that a tensor gets.
Exchange = list[tuple[str, torch.Tensor, torch.Tensor]]


def exchange(pairs: Exchange, done: Callable[[torch.Tensor], object] = lambda _: None) -> None:
    """Makes tensors what others are; they keep their identity and their attributes.

    Args:
      pairs: is empty afterwards; what was given as contents is of no use any more.
      done: called with each tensor that has got its contents.

    Raises:
      ValueError: names those that something else refers to in a way that forbids it. They are as
        they were, all others are done.
    """
    recurrent = {
        id(module): module
        for _, tensor, _ in pairs
        for module in owners_of(tensor)
        if isinstance(module, torch.nn.RNNBase)
    }
    for module in recurrent.values():
        module._flat_weight_refs = []  # as `to()` does it: no weak references meanwhile
    refused: list[tuple[str, str]] = []
    try:
        while pairs:
            name, tensor, contents = pairs.pop()
            try:
                _put_in_place(tensor, contents)
            except RuntimeError as error:
                refused.append((name, str(error)))
            else:
                done(tensor)
    finally:
        for module in recurrent.values():
            module._init_flat_weights()
    if refused:
        names = ", ".join(name for name, _ in refused[:10])
        raise ValueError(
            f"{len(refused)} tensor(s) on the meta device cannot be given memory, since something "
            f"holds a weak reference to them, a view of them or a part of autograd's graph: "
            f"{names}. Let go of it and call this again (torch.utils.swap_tensors: "
            f"{refused[0][1]})"
        )


def _put_in_place(tensor: torch.Tensor, contents: torch.Tensor) -> None:
    attributes: dict[str, Any] = dict(tensor.__dict__)
    torch.utils.swap_tensors(tensor, contents)
    tensor.__dict__.clear()
    tensor.__dict__.update(attributes)
