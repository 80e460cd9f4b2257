"""Files of `torch.save`, as far as `torch.load(weights_only=True)` takes them: no code runs."""

from __future__ import annotations

import pickle
import re
from typing import Any

from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.foreign.arrays import ArrayReader, Unreadable

__all__ = ["open_torch_file"]


def open_torch_file(path: str, *, is_zip: bool) -> ArrayReader:
    """The tensors of a state dict; those of dicts within it by names joined with dots.

    Args:
      is_zip: the form since PyTorch 1.6, which is mapped; the older one is loaded.

    Raises:
      CheckpointUnsupportedError: it holds what only pickle could load; PyTorch is missing.
      CheckpointCorruptError: it is damaged.
    """
    try:
        import torch
    except ImportError as error:
        raise CheckpointUnsupportedError(
            f"a file of torch.save can be read where PyTorch is installed ({error}); "
            "safetensors files need nothing",
            path=path,
        ) from None
    from checkpointable.adapters.torch.dtypes import counterpart
    from checkpointable.adapters.torch.memory import host_array, storable

    try:
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointUnsupportedError(
            "it holds more than tensors, numbers and texts, which only pickle could load"
            f"{f' ({found[1]})' if found else ''}; torch.save(model.state_dict(), …) writes a file "
            "that can be read",
            path=path,
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointCorruptError(f"torch.load cannot read it: {error}", path=path) from None
    arrays: dict[str, Any] = {}
    for name, tensor in _tensors(contents):
        try:
            storable(tensor)
        except CheckpointUnsupportedError as error:
            dtype = str(tensor.dtype).removeprefix("torch.")
            size = tensor.numel() * tensor.element_size()
            arrays[name] = Unreadable(dtype, tuple(tensor.shape), size, error.what)
            continue
        kind = counterpart(tensor.dtype)
        assert kind is not None
        arrays[name] = host_array(tensor, kind)
    if not arrays:
        raise CheckpointUnsupportedError("there is no state dict in it", path=path)
    reader = ArrayReader(path, arrays)
    dicts = _dicts(contents)
    reader.sections = tuple(name for name, _ in dicts if name)
    reader.optimizers = tuple(
        name for name, inner in dicts if {"state", "param_groups"} <= set(inner)
    )
    return reader


def _dicts(contents: Any, name: str = "") -> list[tuple[str, Any]]:
    if not isinstance(contents, dict):
        return []
    found = [(name, contents)]
    for key, inner in contents.items():
        found += _dicts(inner, f"{name}.{key}" if name else str(key))
    return found


def _tensors(contents: Any, name: str = "") -> list[tuple[str, Any]]:
    import torch

    if isinstance(contents, torch.Tensor):
        return [(name, contents)]
    if not isinstance(contents, dict):
        return []
    found = []
    for key, inner in contents.items():
        found += _tensors(inner, f"{name}.{key}" if name else str(key))
    return found
