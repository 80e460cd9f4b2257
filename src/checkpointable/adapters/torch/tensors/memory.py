"""A tensor's memory as an array, and contents moved into tensors that have none in the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from checkpointable.adapters.torch.tensors.dtypes import Counterpart, counterpart, torch_dtype
from checkpointable.errors import CheckpointUnsupportedError

__all__ = ["as_tensor", "fill", "fill_from", "host_array", "shared_array", "storable"]

Array = np.ndarray[Any, np.dtype[Any]]

# Contents go to and from a device in portions of this many bytes, through memory that the
# device can reach by itself (pinned), so that a large model needs no second copy in the host.
_STAGE_SIZE = 32 * 2**20


def storable(tensor: torch.Tensor) -> Counterpart:
    """What stands for the tensor's dtype in the format.

    Raises:
      CheckpointUnsupportedError: the format has no place for such a tensor.
    """
    kind = counterpart(tensor.dtype)
    cls: Any = type(tensor)
    if kind is None or tensor.layout is not torch.strided or _is_wrapper(cls):
        raise CheckpointUnsupportedError(_refusal(tensor))
    if tensor.is_nested:
        raise CheckpointUnsupportedError(_refusal(tensor))
    return kind


def _refusal(tensor: torch.Tensor) -> str:
    """Why a tensor can be neither saved nor restored."""
    if tensor.is_nested:
        return "a nested tensor has no one shape; save its parts as tensors of their own"
    if tensor.is_quantized:
        return (
            f"a quantized tensor ({tensor.dtype}) is more than its numbers; save int_repr(), "
            "scale and zero point"
        )
    if tensor.layout is not torch.strided:
        return f"a tensor of layout {tensor.layout} has no place in the format; save its parts"
    if counterpart(tensor.dtype) is None:
        return f"the format has no place for {tensor.dtype}; save it as another dtype"
    if hasattr(tensor, "full_tensor"):
        return (
            f"a {type(tensor).__name__} has a part of its contents in each process (fully_shard, "
            "tensor parallelism); save its full_tensor()"
        )
    return f"a {type(tensor).__name__} holds its contents in other tensors; save those"


_PLAIN = (torch.nn.Parameter, torch.Tensor)


def _is_wrapper(cls: type[torch.Tensor]) -> bool:
    """Whether tensors of this class stand for others and have no memory of their own."""
    # Exactly what torch.utils._python_dispatch.is_traceable_wrapper_subclass looks at.
    return cls not in _PLAIN and hasattr(cls, "__tensor_flatten__")


def shared_array(tensor: torch.Tensor, kind: Counterpart) -> Array | None:
    """An array on the tensor's own memory, of the same strides; None if that cannot be."""
    if tensor.device.type != "cpu" or tensor.is_conj() or tensor.is_neg():
        return None
    plain = tensor.detach()
    try:
        if kind.bits is None:
            array: Array = plain.numpy()
            return array
        bits: Array = plain.view(kind.bits).numpy()
    except RuntimeError as error:  # a FakeTensor, one within vmap: descriptions of others
        raise CheckpointUnsupportedError(
            f"a {type(tensor).__name__} has no memory that could be read or filled: {error}"
        ) from error
    return bits.view(kind.dtype)


def host_array(tensor: torch.Tensor, kind: Counterpart) -> Array:
    """The contents as an array: shared memory where that can be, else a copy."""
    shared = shared_array(tensor, kind)
    if shared is not None:
        return shared
    plain = tensor.detach()
    if plain.device.type == "cpu":
        plain = plain.resolve_conj().resolve_neg()
    else:
        plain = _from_device(plain)
    array = shared_array(plain, kind)
    assert array is not None
    return array


def as_tensor(array: Array) -> torch.Tensor:
    """A tensor on the memory of an array of a dtype that torch has."""
    kind = _counterpart_of(array.dtype)
    if not array.flags.writeable:
        array = array.copy()
    if kind.bits is None:
        # Not from_numpy(ndarray of no dimensions).reshape: it keeps them as they are.
        return torch.from_numpy(array)
    bits = np.dtype(str(kind.bits).removeprefix("torch."))
    return torch.from_numpy(array.view(bits)).view(_extended(array.dtype))


def fill(tensor: torch.Tensor, array: Array) -> None:
    """Copies an array of the tensor's dtype and shape into it, wherever its memory is."""
    source = as_tensor(array)
    # Outside of its mode an inference tensor refuses to be changed, and inside of it every
    # tensor may be.
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        target = tensor.detach()
        if target.device.type == "cpu":
            target.copy_(source)
        else:
            _to_device(target, source)


def fill_from(tensor: torch.Tensor, source: Any) -> bool:
    """Copies a tensor of the same dtype and shape into it; False if `source` is none."""
    if not isinstance(source, torch.Tensor):
        return False
    if (source.dtype, source.shape) != (tensor.dtype, tensor.shape):
        return False
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        tensor.detach().copy_(source)
    return True


def _stage(dtype: torch.dtype, count: int) -> torch.Tensor:
    """Memory in the host for a portion of `count` elements, pinned where there is a device."""
    if torch.cuda.is_available():
        try:
            return torch.empty(count, dtype=dtype, pin_memory=True)
        except RuntimeError:  # the system allows no more of it: slower, and all the same
            pass
    return torch.empty(count, dtype=dtype)


def _portion(tensor: torch.Tensor) -> int:
    size: int = tensor.element_size()
    return max(1, _STAGE_SIZE // size)


def _to_device(target: torch.Tensor, source: torch.Tensor) -> None:
    # A copy in between where the target's elements do not lie one after another.
    flat = target
    if not target.is_contiguous():
        flat = torch.empty(target.shape, dtype=target.dtype, device=target.device)
    flat, elements = flat.view(-1), source.reshape(-1)
    step = _portion(source)
    stage = _stage(source.dtype, min(step, elements.numel()))
    for start in range(0, elements.numel(), step):
        part = elements[start : start + step]
        portion = stage[: part.numel()]
        portion.copy_(part)
        # Waits: the next portion goes into the same memory.
        flat[start : start + step].copy_(portion)
    if not target.is_contiguous():
        target.copy_(flat.view(target.shape))


def _from_device(source: torch.Tensor) -> torch.Tensor:
    # Not pinned as a whole: such memory is scarce, PyTorch never gives it back, and an
    # asynchronous save holds all that it copies.
    elements = source.contiguous().view(-1)
    held = torch.empty(elements.numel(), dtype=source.dtype)
    step = _portion(source)
    stage = _stage(source.dtype, min(step, elements.numel()))
    for start in range(0, elements.numel(), step):
        part = elements[start : start + step]
        portion = stage[: part.numel()]
        portion.copy_(part)  # waits for the device, and for what it is still computing
        held[start : start + step].copy_(portion)
    return held.view(source.shape)


def _counterpart_of(dtype: np.dtype[Any]) -> Counterpart:
    found = torch_dtype(dtype)
    kind = None if found is None else counterpart(found)
    if kind is None:
        raise TypeError(f"torch has no dtype {dtype}")
    return kind


def _extended(dtype: np.dtype[Any]) -> torch.dtype:
    found: torch.dtype = getattr(torch, dtype.name)
    return found
