"""The same values in the hands of each library: save them, change them, restore them.

Restoring means into variables that exist, as a training program does it.
"""

from __future__ import annotations

import copy
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import checkpointable as cp

from .workloads import Arrays

if TYPE_CHECKING:
    from checkpointable.common.types import Durability
    from checkpointable.restore import Verify


class Library(Protocol):
    def save(self, directory: Path) -> None: ...
    def restore(self, directory: Path) -> None: ...
    def clear(self) -> None: ...
    def arrays(self) -> Arrays: ...


class Ours:
    """Our variables; of the same ones there are several ways to save and restore them."""

    durability: Durability = "flush"  # as the peers do, which do not sync
    verify: Verify = True

    def __init__(self, arrays: Arrays) -> None:
        self._variables = {name: cp.Variable(array) for name, array in arrays.items()}
        self._checkpoint = cp.Checkpoint(**self._variables)

    def save(self, directory: Path) -> None:
        self._checkpoint.write(directory / "ours", durability=self.durability)

    def restore(self, directory: Path) -> None:
        self._checkpoint.read(directory / "ours", verify=self.verify).assert_consumed()

    def clear(self) -> None:
        for variable in self._variables.values():
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def arrays(self) -> Arrays:
        return {name: variable.numpy() for name, variable in self._variables.items()}

    def otherwise(self, **settings: Any) -> Ours:
        """The same variables with another durability or way of verifying."""
        other = copy.copy(self)
        other.__dict__.update(settings)
        return other


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


class OursTensorFlow:
    """TensorFlow's own variables, saved by us."""

    def __init__(self, theirs: TensorFlow) -> None:
        self._ours = cp.Checkpoint(**theirs._variables)
        self.clear, self.arrays = theirs.clear, theirs.arrays

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


OURS, SYNCED = "ours", "ours, synced"
# What saves as another one does: it takes part in restoring alone.
RESTORE_ONLY = {"ours, verify=stream", "ours, verify=False", "torch.save, mmap"}
# What restores as another one does.
SAVE_ONLY = {SYNCED}
# What writes the same files as another one.
SAME_FILES = {
    **dict.fromkeys((SYNCED, "ours, verify=stream", "ours, verify=False"), OURS),
    "torch.save, mmap": "torch.save",
}


def libraries(arrays: Arrays) -> dict[str, Library]:
    """Those that are installed; the ones of one framework share their variables."""
    ours = Ours(arrays)
    found: dict[str, Library] = {
        OURS: ours,
        SYNCED: ours.otherwise(durability="fsync"),  # the default: on the disk when it returns
        "ours, verify=stream": ours.otherwise(verify="stream"),
        "ours, verify=False": ours.otherwise(verify=False),
    }
    if find_spec("tensorflow"):
        theirs = TensorFlow(arrays)
        found["ours, tf.Variable"] = OursTensorFlow(theirs)
        found["TensorFlow"] = theirs
    if find_spec("safetensors"):
        found["safetensors, NumPy"] = Safetensors(arrays)
    if find_spec("torch"):
        from . import torch_contenders as torch

        module = torch.module_of(arrays)
        if find_spec("safetensors"):
            found["safetensors, PyTorch"] = torch.SafetensorsTorch(module)
        found["torch.save"] = torch.TorchSave(module)
        found["torch.save, mmap"] = torch.TorchSaveMapped(module)
        found["DCP"] = torch.Distributed(module)
    if find_spec("orbax"):
        from .orbax_contender import Orbax

        found["Orbax"] = Orbax(arrays)
    return found
