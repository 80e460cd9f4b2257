"""What PyTorch has: `torch.save`, and its distributed checkpoints in one process."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

from .workloads import Arrays


def module_of(arrays: Arrays) -> Any:
    import torch

    module = torch.nn.Module()
    for name, array in arrays.items():
        parameter = torch.nn.Parameter(torch.from_numpy(array.copy()), requires_grad=False)
        module.register_parameter(name, parameter)
    return module


class _Torch:
    def __init__(self, module: Any) -> None:
        self._module = module

    def clear(self) -> None:
        for parameter in self._module.parameters():
            parameter.zero_()

    def arrays(self) -> Arrays:
        return {name: value.numpy() for name, value in self._module.named_parameters()}


class SafetensorsTorch(_Torch):
    """As most people use it: a module's state dict, given back by `load_state_dict`."""

    def save(self, directory: Path) -> None:
        from safetensors.torch import save_file

        save_file(self._module.state_dict(), directory / "model.safetensors")

    def restore(self, directory: Path) -> None:
        from safetensors.torch import load_file

        self._module.load_state_dict(load_file(directory / "model.safetensors"))


class TorchSave(_Torch):
    def save(self, directory: Path) -> None:
        import torch

        torch.save(self._module.state_dict(), directory / "model.pt")

    def restore(self, directory: Path) -> None:
        import torch

        self._module.load_state_dict(torch.load(directory / "model.pt"))


class TorchSaveMapped(TorchSave):
    def restore(self, directory: Path) -> None:
        import torch

        self._module.load_state_dict(torch.load(directory / "model.pt", mmap=True))


class Distributed(_Torch):
    """`torch.distributed.checkpoint` (DCP), as a program on one machine uses it."""

    def save(self, directory: Path) -> None:
        from torch.distributed import checkpoint as dcp

        shutil.rmtree(directory / "dcp", ignore_errors=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is one process
            dcp.save(self._module.state_dict(), checkpoint_id=directory / "dcp", no_dist=True)

    def restore(self, directory: Path) -> None:
        from torch.distributed import checkpoint as dcp

        state = self._module.state_dict()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcp.load(state, checkpoint_id=directory / "dcp", no_dist=True)
        self._module.load_state_dict(state)
