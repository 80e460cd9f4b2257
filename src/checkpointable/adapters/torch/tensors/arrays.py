"""Tensors as NumPy arrays: sharing their memory where possible, copying where not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from checkpointable.adapters.torch.private_api import is_wrapper_subclass
from checkpointable.adapters.torch.tensors.dtypes import Counterpart, counterpart, torch_dtype
from checkpointable.adapters.torch.tensors.staged_copies import from_device, to_device
from checkpointable.errors import CheckpointUnsupportedError

__all__ = ["as_tensor", "fill", "fill_from", "host_array", "shared_array", "storable"]

Array = np.ndarray[Any, np.dtype[Any]]


def storable(tensor: torch.Tensor) -> Counterpart:
    """Returns the NumPy counterpart of the tensor's dtype.

    Raises:
      CheckpointUnsupportedError: the checkpoint format cannot represent such a tensor.
    """
    kind = counterpart(tensor.dtype)
    cls: Any = type(tensor)
    if kind is None or tensor.layout is not torch.strided or is_wrapper_subclass(cls):
        raise CheckpointUnsupportedError(_why_not_storable(tensor))
    if tensor.is_nested:
        raise CheckpointUnsupportedError(_why_not_storable(tensor))
    return kind


def _why_not_storable(tensor: torch.Tensor) -> str:
    if tensor.is_nested:
        return "a nested tensor has no single shape; save its parts as separate tensors"
    if tensor.is_quantized:
        return (
            f"a quantized tensor ({tensor.dtype}) is more than its numbers; save int_repr(), "
            "scale and zero point"
        )
    if tensor.layout is not torch.strided:
        return (
            f"the checkpoint format has no tensors of layout {tensor.layout}; save its parts as "
            "separate tensors"
        )
    if counterpart(tensor.dtype) is None:
        return f"the checkpoint format has no dtype {tensor.dtype}; save it as another dtype"
    if hasattr(tensor, "full_tensor"):
        return (
            f"a {type(tensor).__name__} has a part of its contents in each process (fully_shard, "
            "tensor parallelism); save its full_tensor()"
        )
    return f"a {type(tensor).__name__} holds its contents in other tensors; save those"


def shared_array(tensor: torch.Tensor, kind: Counterpart) -> Array | None:
    """Returns an array on the tensor's own memory, with the same strides; None if it cannot.

    Args:
      kind: the counterpart of the tensor's dtype.

    Raises:
      CheckpointUnsupportedError: the tensor only describes another one (a FakeTensor, a tensor
        within `vmap`).
    """
    if tensor.device.type != "cpu" or tensor.is_conj() or tensor.is_neg():
        return None
    plain = tensor.detach()
    try:
        if kind.bits is None:
            array: Array = plain.numpy()
            return array
        bits: Array = plain.view(kind.bits).numpy()
    except RuntimeError as error:
        raise CheckpointUnsupportedError(
            f"a {type(tensor).__name__} has no memory that could be read or filled: {error}"
        ) from error
    return bits.view(kind.dtype)


def host_array(tensor: torch.Tensor, kind: Counterpart) -> Array:
    """Returns the contents of a tensor as an array: its own memory if possible, else a copy."""
    shared = shared_array(tensor, kind)
    if shared is not None:
        return shared
    plain = tensor.detach()
    if plain.device.type == "cpu":
        plain = plain.resolve_conj().resolve_neg()
    else:
        plain = from_device(plain)
    array = shared_array(plain, kind)
    assert array is not None
    return array


def as_tensor(array: Array) -> torch.Tensor:
    """Returns a tensor on the memory of an array; on a copy if the array is read-only.

    Raises:
      TypeError: PyTorch has no dtype like that of the array.
    """
    dtype = torch_dtype(array.dtype)
    kind = None if dtype is None else counterpart(dtype)
    if dtype is None or kind is None:
        raise TypeError(f"PyTorch has no dtype {array.dtype}")
    if not array.flags.writeable:
        array = array.copy()
    if kind.bits is None:
        return torch.from_numpy(array)
    bits = np.dtype(str(kind.bits).removeprefix("torch."))
    return torch.from_numpy(array.view(bits)).view(dtype)


def fill(tensor: torch.Tensor, array: Array) -> None:
    """Copies an array of the tensor's dtype and shape into it, on whatever device it is."""
    source = as_tensor(array)
    # Outside inference mode an inference tensor refuses to be changed; within it, every tensor
    # may be changed.
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        target = tensor.detach()
        if target.device.type == "cpu":
            target.copy_(source)
        else:
            to_device(target, source)


def fill_from(tensor: torch.Tensor, source: Any) -> bool:
    """Copies `source` into a tensor; returns False unless it is a tensor of its dtype and shape."""
    if not isinstance(source, torch.Tensor):
        return False
    if (source.dtype, source.shape) != (tensor.dtype, tensor.shape):
        return False
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        tensor.detach().copy_(source)
    return True
