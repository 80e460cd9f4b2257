"""Copies between the host and a device, in portions through a small pinned buffer.

Pinned memory is what a device can reach by itself. It is scarce, and PyTorch never returns it to
the system; with a small buffer a large model needs no second copy in the host.
"""

from __future__ import annotations

import torch

__all__ = ["from_device", "to_device"]

_STAGE_SIZE = 32 * 2**20  # bytes


def to_device(target: torch.Tensor, source: torch.Tensor) -> None:
    """Copies a host tensor into a tensor of the same shape and dtype on a device."""
    # A target whose elements are not contiguous is filled from a contiguous copy on its device.
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
        # Blocks: the next portion is written into the same memory.
        flat[start : start + step].copy_(portion)
    if not target.is_contiguous():
        target.copy_(flat.view(target.shape))


def from_device(source: torch.Tensor) -> torch.Tensor:
    """Returns a contiguous copy of a device tensor in the host, in memory that is not pinned."""
    # An asynchronous save holds all its copies at once, too much to pin.
    elements = source.contiguous().view(-1)
    copied = torch.empty(elements.numel(), dtype=source.dtype)
    step = _portion(source)
    stage = _stage(source.dtype, min(step, elements.numel()))
    for start in range(0, elements.numel(), step):
        part = elements[start : start + step]
        portion = stage[: part.numel()]
        portion.copy_(part)  # blocks until the device has computed and copied it
        copied[start : start + step].copy_(portion)
    return copied.view(source.shape)


def _stage(dtype: torch.dtype, count: int) -> torch.Tensor:
    """Returns a host buffer of `count` elements, pinned if there is a device."""
    if torch.cuda.is_available():
        try:
            return torch.empty(count, dtype=dtype, pin_memory=True)
        except RuntimeError:  # the system allows no more of it: a plain buffer is only slower
            pass
    return torch.empty(count, dtype=dtype)


def _portion(tensor: torch.Tensor) -> int:
    size: int = tensor.element_size()
    return max(1, _STAGE_SIZE // size)
