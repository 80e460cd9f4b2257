"""Reads files of `torch.save` with `torch.load(weights_only=True)`, which runs no code."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.readers.foreign.array_items import Unreadable
from checkpointable.readers.foreign.arrays import ArrayReader
from checkpointable.readers.foreign.kinds import other_kind
from checkpointable.readers.foreign.zip_records import RecordChecksums, ZipRecord, records_of
from checkpointable.readers.formats import Candidate, Format, OpenOptions
from checkpointable.readers.reader import FileDicts

__all__ = ["FORMAT", "is_torch_file", "open_torch_file"]

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
# A file may become this many times its size in memory, and this many bytes more.
_RATIO, _SLACK = 32, 32 * 2**20
_OF_A_NAME = 300  # the memory that the name of a tensor takes in addition to its letters, in bytes
_DEPTH_MAX = 100


def is_torch_file(candidate: Candidate) -> bool:
    """Returns whether a file is a zip archive of no other known kind, or a pickle."""
    start = candidate.start
    return start.startswith(_PICKLE) or (start.startswith(_ZIP) and other_kind(start) is None)


def open_torch_file(candidate: Candidate, options: OpenOptions) -> ArrayReader:
    """Opens the tensors of a state dict; joins the keys of dicts within dicts with dots.

    Zip archives, which PyTorch writes since 1.6, are mapped; older files are loaded. Each record of
    an archive has a CRC-32: that of the pickle is verified here, before it is read, those of
    tensors when they are.

    Raises:
      CheckpointUnsupportedError: The file holds objects that only pickle could load, or PyTorch
        is not installed.
      CheckpointCorruptError: The file is damaged.
    """
    checksums = _checksums(candidate)
    try:
        contents = _load(candidate)
        arrays = _arrays(contents, candidate)
        if not arrays:
            raise CheckpointUnsupportedError(
                "it does not contain a state dict", path=candidate.path
            )
    except BaseException:
        if checksums is not None:
            checksums.file.close()
        raise
    return ArrayReader(
        candidate.path,
        arrays,
        dicts=_file_dicts(contents),
        checksums={} if checksums is None else dict.fromkeys(arrays, checksums),
        in_place=options.mmap is True,
    )


FORMAT = Format("a file of torch.save", is_torch_file, open_torch_file)


def _load(candidate: Candidate) -> Any:
    path, is_zip = candidate.path, candidate.start.startswith(_ZIP)
    try:
        import torch
    except ImportError as error:
        raise CheckpointUnsupportedError(
            f"reading a file of torch.save needs PyTorch, which is not installed ({error}); "
            "safetensors files can be read without it",
            path=path,
        ) from None
    if path.endswith(".safetensors"):  # torch.load decides by this ending, not by the content
        raise CheckpointUnsupportedError(
            "this is a file of torch.save, which torch.load cannot read under this ending: rename "
            "it to end with .pt",
            path=path,
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointUnsupportedError(
            "it contains objects other than tensors, numbers and text, which only pickle could load"
            f"{f' ({named[1]})' if named else ''}: if you trust the file, allow its types with "
            "`with torch.serialization.safe_globals([…]):` around this call; "
            "torch.save(model.state_dict(), …) writes a file that can be read",
            path=path,
        ) from None
    except Exception as error:  # noqa: BLE001 - damaged bytes raise errors of many types
        raise CheckpointCorruptError(
            f"torch.load cannot read it: {type(error).__name__}: {error}", path=path
        ) from None


def _arrays(contents: Any, candidate: Candidate) -> dict[str, Any]:
    """Returns the tensors as arrays that share their memory, by name."""
    from checkpointable.adapters.torch.tensors.arrays import host_array, storable
    from checkpointable.adapters.torch.tensors.dtypes import counterpart

    arrays: dict[str, Any] = {}
    budget = _RATIO * candidate.size + _SLACK
    for name, tensor in _tensors(contents, candidate.path, budget):
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
                    f"the file has {candidate.size} bytes, and this would be {nbytes}: it repeats "
                    "the same bytes many times"
                )
        except CheckpointUnsupportedError as error:
            dtype = str(tensor.dtype).removeprefix("torch.")
            arrays[name] = Unreadable(dtype, tuple(tensor.shape), nbytes, error.what)
            continue
        budget -= nbytes
        kind = counterpart(tensor.dtype)
        assert kind is not None
        arrays[name] = host_array(tensor, kind)
    return arrays


def _file_dicts(contents: Any) -> FileDicts:
    dicts = _dicts(contents)
    optimizers = tuple(name for name, inner in dicts if {"state", "param_groups"} <= set(inner))
    sections = tuple(name for name, _ in dicts if name)
    return FileDicts(sections, optimizers, tuple(_others(contents, optimizers)))


def _dicts(contents: Any, name: str = "") -> list[tuple[str, Any]]:
    if not isinstance(contents, dict):
        return []
    dicts = [(name, contents)]
    for key, inner in contents.items():
        dicts += _dicts(inner, f"{name}.{key}" if name else str(key))
    return dicts


def _others(contents: Any, optimizers: tuple[str, ...], name: str = "") -> Iterator[str]:
    import torch

    if name in optimizers:
        return
    if isinstance(contents, dict):
        for key, inner in contents.items():
            yield from _others(inner, optimizers, f"{name}.{key}" if name else str(key))
    elif not isinstance(contents, torch.Tensor):
        yield name


def _checksums(candidate: Candidate) -> RecordChecksums | None:
    """Returns the checksums of an archive's tensors; None if it has none, or is no archive.

    Raises:
      CheckpointCorruptError: The archive is damaged, or a record that is no tensor's; or it is
        compressed, so that it may grow to any size. PyTorch compresses nothing.
    """
    if not candidate.start.startswith(_ZIP):
        return None
    records = records_of(_members(candidate.path, candidate.size))
    if not records:
        return None
    file = candidate.storage.open(candidate.path)
    try:
        RecordChecksums(file, [r for r in records if not _is_tensor(r)]).check()
        return RecordChecksums(file, list(filter(_is_tensor, records)))
    except BaseException:
        file.close()
        raise


def _is_tensor(record: ZipRecord) -> bool:
    """Returns whether a record is the memory of tensors, `ARCHIVE/data/NUMBER`."""
    return "/data/" in record.name


def _members(path: str, size: int) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # noqa: BLE001 - damaged archives raise errors of many types
        raise CheckpointCorruptError(f"it is not a zip archive: {error}", path=path) from None
    if sum(member.file_size for member in members) > size:
        raise CheckpointCorruptError(
            f"its members claim more than the {size} bytes of the file; torch.save writes "
            "nothing compressed",
            path=path,
        )
    return members


def _tensors(contents: Any, path: str, budget: int) -> list[tuple[str, Any]]:
    """Returns (name, tensor) of all tensors; joins the keys of dicts within dicts with dots.

    Raises:
      CheckpointCorruptError: A dict contains itself, or dicts repeat so often that the names
        take more than `budget` bytes.
    """
    import torch

    tensors: list[tuple[str, Any]] = []
    # Depth first, in order; the last item has the ids of the enclosing dicts.
    waiting: list[tuple[str, Any, tuple[int, ...]]] = [("", contents, ())]
    while waiting:
        name, inner, within = waiting.pop()
        budget -= len(name) + _OF_A_NAME
        if budget < 0:
            raise CheckpointCorruptError("it contains the same dicts too many times", path=path)
        if isinstance(inner, torch.Tensor):
            tensors.append((name, inner))
        elif isinstance(inner, dict):
            if id(inner) in within or len(within) > _DEPTH_MAX:
                raise CheckpointCorruptError(f"a dict contains itself at {name[:100]!r}", path=path)
            within = (*within, id(inner))
            waiting += [
                (f"{name}.{key}" if name else str(key), value, within)
                for key, value in reversed(inner.items())
            ]
    return tensors
