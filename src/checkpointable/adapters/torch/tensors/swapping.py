"""Swapping memory into tensors that have none, while they remain the same objects."""

from __future__ import annotations

from collections.abc import Callable

import torch

from checkpointable.adapters.torch.private_api import without_weak_references
from checkpointable.adapters.torch.tensors.tensor_owners import owners_of

__all__ = ["Swaps", "swap_in"]

Swaps = list[tuple[str, torch.Tensor, torch.Tensor]]
"""(path, tensor, the tensor whose memory it gets) each.

A function that swaps removes the entries: nothing else may refer to memory that a tensor gets.
"""


def swap_in(swaps: Swaps, done: Callable[[torch.Tensor], object] = lambda _: None) -> None:
    """Gives tensors the memory of others; they keep their identity and their attributes.

    Args:
      swaps: emptied by this call. The tensors that gave their memory must not be used any more.
      done: called with each tensor that has got its memory.

    Raises:
      ValueError: something else refers to a tensor in a way that forbids the swap. The message
        names these tensors; they are unchanged, and all others are done.
    """
    recurrent = {
        id(module): module
        for _, tensor, _ in swaps
        for module in owners_of(tensor)
        if isinstance(module, torch.nn.RNNBase)
    }
    refused: list[tuple[str, str]] = []
    with without_weak_references(recurrent.values()):
        while swaps:
            path, tensor, contents = swaps.pop()
            try:
                _swap(tensor, contents)
            except RuntimeError as error:
                refused.append((path, str(error)))
            else:
                done(tensor)
    if refused:
        paths = ", ".join(path for path, _ in refused[:10])
        more = f" and {len(refused) - 10} more" if len(refused) > 10 else ""
        raise ValueError(
            f"{len(refused)} tensor(s) on the meta device cannot be given memory: {paths}{more}. "
            "Something holds a weak reference to them, a view of them or a part of an autograd "
            "graph. Delete those references and call this again "
            f"(torch.utils.swap_tensors: {refused[0][1]})"
        )


def _swap(tensor: torch.Tensor, contents: torch.Tensor) -> None:
    attributes = tensor.__dict__
    torch.utils.swap_tensors(tensor, contents)
    tensor.__dict__, contents.__dict__ = attributes, tensor.__dict__
