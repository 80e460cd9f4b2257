"""What is saved: the sizes of a model's weights, and many small values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.float32]]

LARGE = "440 MB in 200 values"
HUGE = "1,070 MB in 8 values"
SMALL = "10,000 values of 1 KB"


def large(megabytes: int = 440, count: int = 200) -> Arrays:
    """`count` values of unequal sizes, as a transformer's are: three matrices to one vector."""
    rng = np.random.default_rng(0)
    weights = np.array([1 if i % 4 else 0.01 for i in range(count)])
    sizes = (weights / weights.sum() * megabytes * 1e6 / 4).astype(int)
    return {f"v{i:03}": rng.random(n, np.float32) for i, n in enumerate(sizes)}


def small(count: int = 10_000) -> Arrays:
    rng = np.random.default_rng(1)
    return {f"v{i:05}": rng.random(250, np.float32) for i in range(count)}


def huge(megabytes: int = 1070, count: int = 8) -> Arrays:
    rng = np.random.default_rng(2)
    return {f"v{i}": rng.random(megabytes * 10**6 // 4 // count, np.float32) for i in range(count)}
