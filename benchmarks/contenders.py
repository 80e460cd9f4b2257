"""The same values in the hands of each library: save them, change them, restore them.

Restoring means into variables that exist, as a training program does it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np

import checkpointable as cp

from .workloads import Arrays


class Library(Protocol):
    def __init__(self, arrays: Arrays) -> None: ...
    def save(self, directory: Path) -> None: ...
    def restore(self, directory: Path) -> None: ...
    def clear(self) -> None: ...
    def arrays(self) -> Arrays: ...


class Ours:
    durability = "flush"  # as the peers do, which do not sync

    def __init__(self, arrays: Arrays) -> None:
        self._variables = {name: cp.Variable(array) for name, array in arrays.items()}
        self._checkpoint = cp.Checkpoint(**self._variables)

    def save(self, directory: Path) -> None:
        self._checkpoint.write(directory / "ours", durability=self.durability)

    def restore(self, directory: Path) -> None:
        self._checkpoint.read(directory / "ours").assert_consumed()

    def clear(self) -> None:
        for variable in self._variables.values():
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def arrays(self) -> Arrays:
        return {name: variable.numpy() for name, variable in self._variables.items()}


class OursSynced(Ours):
    durability = "fsync"  # the default: on the disk before `write` returns


class TensorFlow:
    def __init__(self, arrays: Arrays) -> None:
        # Only what it prints when it starts depends on these.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
        import tensorflow as tf

        self._variables = {name: tf.Variable(array) for name, array in arrays.items()}
        self._checkpoint = tf.train.Checkpoint(**self._variables)

    def save(self, directory: Path) -> None:
        self._checkpoint.write(str(directory / "tensorflow"))

    def restore(self, directory: Path) -> None:
        self._checkpoint.read(str(directory / "tensorflow")).assert_consumed()

    def clear(self) -> None:
        for variable in self._variables.values():
            variable.assign(np.zeros(variable.shape, np.float32))

    def arrays(self) -> Arrays:
        return {name: variable.numpy() for name, variable in self._variables.items()}


class OursTensorFlow(TensorFlow):
    """TensorFlow's own variables, saved by us."""

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays)
        self._ours = cp.Checkpoint(**self._variables)

    def save(self, directory: Path) -> None:
        self._ours.write(directory / "ours", durability="flush")

    def restore(self, directory: Path) -> None:
        self._ours.read(directory / "ours").assert_consumed()


class Safetensors:
    def __init__(self, arrays: Arrays) -> None:
        self._arrays = {name: array.copy() for name, array in arrays.items()}

    def save(self, directory: Path) -> None:
        from safetensors.numpy import save_file

        save_file(self._arrays, directory / "model.safetensors")

    def restore(self, directory: Path) -> None:
        from safetensors.numpy import load_file

        loaded = load_file(directory / "model.safetensors")
        for name, array in self._arrays.items():
            np.copyto(array, loaded.pop(name))

    def clear(self) -> None:
        for array in self._arrays.values():
            array.fill(0)

    def arrays(self) -> Arrays:
        return self._arrays


class SafetensorsTorch:
    """As most people use it: a module's state dict, given back by `load_state_dict`."""

    def __init__(self, arrays: Arrays) -> None:
        import torch

        self._module = torch.nn.Module()
        for name, array in arrays.items():
            parameter = torch.nn.Parameter(torch.from_numpy(array.copy()), requires_grad=False)
            self._module.register_parameter(name, parameter)

    def save(self, directory: Path) -> None:
        from safetensors.torch import save_file

        save_file(self._module.state_dict(), directory / "model.safetensors")

    def restore(self, directory: Path) -> None:
        from safetensors.torch import load_file

        self._module.load_state_dict(load_file(directory / "model.safetensors"))

    def clear(self) -> None:
        for parameter in self._module.parameters():
            parameter.zero_()

    def arrays(self) -> Arrays:
        return {name: value.numpy() for name, value in self._module.named_parameters()}


OURS, SYNCED = "ours", "ours, synced"
LIBRARIES: dict[str, type[Library]] = {
    OURS: Ours,
    SYNCED: OursSynced,
    "ours, tf.Variable": OursTensorFlow,
    "TensorFlow": TensorFlow,
    "safetensors, NumPy": Safetensors,
    "safetensors, PyTorch": SafetensorsTorch,
}
