"""Orbax, the checkpoints of JAX's programs.

JAX's arrays cannot be changed: what is restored are new ones.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from .workloads import Arrays


class Orbax:
    def __init__(self, arrays: Arrays) -> None:
        import jax

        self._arrays: dict[str, Any] = {name: jax.numpy.asarray(a) for name, a in arrays.items()}

    def save(self, directory: Path) -> None:
        from orbax.checkpoint import StandardCheckpointer

        shutil.rmtree(directory / "orbax", ignore_errors=True)
        with StandardCheckpointer() as checkpointer:
            checkpointer.save(directory.absolute() / "orbax", self._arrays)

    def restore(self, directory: Path) -> None:
        import jax
        from orbax.checkpoint import StandardCheckpointer, utils

        wanted = jax.tree.map(utils.to_shape_dtype_struct, self._arrays)
        with StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore(directory.absolute() / "orbax", wanted)
        self._arrays = jax.block_until_ready(restored)

    def clear(self) -> None:
        import jax

        self._arrays = jax.block_until_ready(jax.tree.map(jax.numpy.zeros_like, self._arrays))

    def arrays(self) -> Arrays:
        return {name: np.asarray(array) for name, array in self._arrays.items()}
