"""Files of `torch.save`, as far as `torch.load(weights_only=True)` takes them: no code runs."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.readers.foreign.arrays import ArrayReader, Unreadable
from checkpointable.storage import default_storage

__all__ = ["open_torch_file"]

# What may be made of a file: so many times its size, and so many bytes more.
_RATIO, _SLACK = 32, 32 * 2**20
_OF_A_NAME = 300  # bytes that a tensor's name and place take beyond the name's letters
_DEPTH_MAX = 100


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
    from checkpointable.adapters.torch.tensors.arrays import host_array, storable
    from checkpointable.adapters.torch.tensors.dtypes import counterpart

    identity = default_storage().identity(path)
    size = 0 if identity is None else identity.size
    if is_zip:
        _check_archive(path, size)
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
    except Exception as error:  # noqa: BLE001 - whatever it stumbles over in damaged bytes
        raise CheckpointCorruptError(
            f"torch.load cannot read it: {type(error).__name__}: {error}", path=path
        ) from None
    arrays: dict[str, Any] = {}
    budget = _RATIO * size + _SLACK
    for name, tensor in _tensors(contents, path, budget):
        nbytes = tensor.numel() * tensor.element_size()
        twice = name in arrays
        try:
            if twice:
                raise CheckpointUnsupportedError("two tensors of the file have this name")
            storable(tensor)
            if tensor.is_meta:
                raise CheckpointUnsupportedError("a tensor of the meta device has no contents")
            if nbytes > budget:
                raise CheckpointUnsupportedError(
                    f"the file has {size} bytes, and this would be {nbytes}: it repeats the same "
                    "few over and over"
                )
        except CheckpointUnsupportedError as error:
            dtype = str(tensor.dtype).removeprefix("torch.")
            arrays[name] = Unreadable(dtype, tuple(tensor.shape), nbytes, error.what)
            continue
        budget -= nbytes
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
    reader.others = tuple(_others(contents, reader.optimizers))
    return reader


def _dicts(contents: Any, name: str = "") -> list[tuple[str, Any]]:
    if not isinstance(contents, dict):
        return []
    found = [(name, contents)]
    for key, inner in contents.items():
        found += _dicts(inner, f"{name}.{key}" if name else str(key))
    return found


def _others(contents: Any, optimizers: tuple[str, ...], name: str = "") -> Iterator[str]:
    import torch

    if name in optimizers:
        return
    if isinstance(contents, dict):
        for key, inner in contents.items():
            yield from _others(inner, optimizers, f"{name}.{key}" if name else str(key))
    elif not isinstance(contents, torch.Tensor):
        yield name


def _check_archive(path: str, size: int) -> None:
    """PyTorch stores what it writes: what is compressed may become anything."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # noqa: BLE001 - zipfile raises many kinds for damaged archives
        raise CheckpointCorruptError(f"it is no zip archive: {error}", path=path) from None
    if sum(member.file_size for member in members) > size:
        raise CheckpointCorruptError(
            f"what it holds is said to have more than its own {size} bytes; torch.save writes "
            "nothing compressed",
            path=path,
        )


def _tensors(contents: Any, path: str, budget: int) -> list[tuple[str, Any]]:
    """The tensors in dicts within dicts, by names joined with dots.

    Raises:
      CheckpointCorruptError: a dict within itself, or the same ones so often that the names
        would take more than `budget` bytes.
    """
    import torch

    found: list[tuple[str, Any]] = []
    # Depth first, in order; with every dict the ones that it is in.
    waiting: list[tuple[str, Any, tuple[int, ...]]] = [("", contents, ())]
    while waiting:
        name, inner, within = waiting.pop()
        budget -= len(name) + _OF_A_NAME
        if budget < 0:
            raise CheckpointCorruptError("it holds the same dicts over and over", path=path)
        if isinstance(inner, torch.Tensor):
            found.append((name, inner))
        elif isinstance(inner, dict):
            if id(inner) in within or len(within) > _DEPTH_MAX:
                raise CheckpointCorruptError(f"dicts without an end at {name[:100]!r}", path=path)
            within = (*within, id(inner))
            waiting += [
                (f"{name}.{key}" if name else str(key), value, within)
                for key, value in reversed(inner.items())
            ]
    return found
