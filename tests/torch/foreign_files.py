"""Files of tensors, as safetensors and PyTorch write them."""

from __future__ import annotations

import safetensors.torch
import torch
from torch import nn


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def equal(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def as_safetensors(path, model: nn.Module) -> str:
    path = path.with_suffix(".safetensors")
    safetensors.torch.save_file(model.state_dict(), path)
    return str(path)


def as_zip(path, model: nn.Module) -> str:
    torch.save(model.state_dict(), path.with_suffix(".pt"))
    return str(path.with_suffix(".pt"))


def as_legacy(path, model: nn.Module) -> str:
    torch.save(model.state_dict(), path.with_suffix(".bin"), _use_new_zipfile_serialization=False)
    return str(path.with_suffix(".bin"))


FORMATS = [as_safetensors, as_zip, as_legacy]
