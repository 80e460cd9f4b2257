"""Describes one value: dtype, shape, location and statistics of its elements."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from checkpointable.common.scalar_strings import array_of_contents
from checkpointable.common.types import Progress
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.readers.reader import CheckpointReader, Location, StoredValue

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]

__all__ = ["Details", "Number", "describe", "statistics"]

Number: TypeAlias = int | float | complex

# The number of elements that are processed together; they fit the cache of a processor.
_CHUNK = 1 << 17


@dataclass
class Details:
    """The description of a value.

    Attributes:
      stored: Its key, dtype, shape and size.
      elements: The number of its elements.
      locations: The locations of its bytes; several for a partitioned value.
      contents: Its elements; None if they cannot be read.
      note: The reason why they cannot be read.
      is_verified: Whether the checksum of its bytes was verified.
      statistics: Statistics of its elements, by name.
    """

    stored: StoredValue
    elements: int
    locations: list[Location]
    contents: Array | None
    note: str
    is_verified: bool
    statistics: dict[str, Number]


def describe(reader: CheckpointReader, key: str, progress: Progress | None = None) -> Details:
    """Reads and verifies a value.

    Args:
      progress: Called with (bytes done, total bytes, key); each pass over the elements counts.

    Raises:
      CheckpointNotFoundError, CheckpointCorruptError
    """
    stored = reader.stored(key)
    details = Details(
        stored,
        elements=math.prod(stored.shape),
        locations=reader.locations(key),
        contents=None,
        note="",
        is_verified=reader.has_checksums,
        statistics={},
    )
    try:
        details.contents = array_of_contents(reader.get_tensor(key))
        passes = _Passes(key, details.contents, stored.dtype, progress)
        details.statistics = statistics(details.contents, stored.dtype, passes)
    except CheckpointUnsupportedError as error:
        details.note = error.what
        details.is_verified = _verify_bytes(reader, key)
    return details


def _verify_bytes(reader: CheckpointReader, key: str) -> bool:
    """Verifies a value that NumPy cannot represent; returns False if it has no checksum."""
    try:
        reader.get_bytes(key)
    except CheckpointUnsupportedError:
        return False
    return True


class _Passes:
    """Passes over the elements of a value in chunks; reports progress."""

    def __init__(
        self, key: str, array: Array, dtype: str, progress: Progress | None = None
    ) -> None:
        self._key = key
        self._progress = progress
        # Complex numbers take two passes for each part, which has half of the bytes.
        self._done, self._total = 0, (1 if "int" in dtype else 2) * array.nbytes

    def over(self, flat: Array) -> Iterator[Array]:
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK]
            yield chunk
            self._done += chunk.nbytes
            if self._progress is not None:
                self._progress(self._done, self._total, self._key)


def statistics(array: Array, dtype: str, passes: _Passes | None = None) -> dict[str, Number]:
    """Returns statistics of the elements of an array; empty if it has no elements.

    numbers: min, max, mean, std of the finite elements; for floats also the counts nan, inf
    complex: abs_min, abs_max, mean, std, nan, inf
    bool:    true, false
    string:  shortest, longest, total (bytes)

    Args:
      array: The array.
      dtype: The name of its dtype in the checkpoint.
      passes: Reports progress.
    """
    passes = passes or _Passes("", array, dtype)
    flat = array.reshape(-1)
    if not flat.size:
        return {}
    if dtype == "string":
        lengths = [len(element) for element in flat]
        return {"shortest": min(lengths), "longest": max(lengths), "total": sum(lengths)}
    if dtype == "bool":
        true = int(np.count_nonzero(flat))
        return {"true": true, "false": flat.size - true}
    if "int" in dtype:
        return _of_integers(flat, passes)
    if dtype.startswith("complex"):
        return _of_complex(flat, passes)
    return _of_floats(flat, passes)


def _of_integers(flat: Array, passes: _Passes) -> dict[str, Number]:
    if flat.dtype.kind not in "iu":  # those of 2 and 4 bits
        flat = flat.astype(np.int8)
    low, high = int(flat.min()), int(flat.max())
    moments = _Moments(max(abs(low), abs(high)))
    for chunk in passes.over(flat):
        moments.add(chunk.astype(np.float64))
    return {"min": low, "max": high, "mean": moments.mean, "std": moments.std}


def _of_floats(flat: Array, passes: _Passes) -> dict[str, Number]:
    low, high, nan, inf = math.inf, -math.inf, 0, 0
    for chunk in passes.over(flat):
        values, more_nan, more_inf = _finite(chunk.astype(np.float64))
        nan, inf = nan + more_nan, inf + more_inf
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if nan + inf == flat.size:
        return {"nan": nan, "inf": inf}
    moments = _Moments(max(abs(low), abs(high)))
    for chunk in passes.over(flat):
        moments.add(_finite(chunk.astype(np.float64))[0])
    mean, std = (low, 0.0) if low == high else (moments.mean, moments.std)
    return {"min": low, "max": high, "mean": mean, "std": std, "nan": nan, "inf": inf}


def _of_complex(flat: Array, passes: _Passes) -> dict[str, Number]:
    nan = int(np.count_nonzero(np.isnan(flat)))
    finite = flat[np.isfinite(flat)]
    inf = flat.size - nan - finite.size
    if not finite.size:
        return {"nan": nan, "inf": inf}
    real, imaginary = _of_floats(finite.real, passes), _of_floats(finite.imag, passes)
    with np.errstate(over="ignore"):
        sizes = np.abs(finite)
    return {
        "abs_min": float(sizes.min()),
        "abs_max": float(sizes.max()),
        "mean": complex(_real(real["mean"]), _real(imaginary["mean"])),
        "std": math.hypot(_real(real["std"]), _real(imaginary["std"])),
        "nan": nan,
        "inf": inf,
    }


def _real(number: Number) -> float:
    assert not isinstance(number, complex)
    return float(number)


def _finite(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int, int]:
    """Returns (finite values, number of NaN, number of infinite values)."""
    finite = np.isfinite(values)
    if finite.all():
        return values, 0, 0
    nan = int(np.count_nonzero(np.isnan(values)))
    kept = values[finite]
    return kept, nan, values.size - kept.size - nan


class _Moments:
    """Mean and standard deviation of chunks, merged without loss (Chan et al. 1979).

    Args:
      largest: The largest magnitude of all chunks; values too large to be squared are scaled.
    """

    def __init__(self, largest: float) -> None:
        self._scale = 1.0 if 1e-100 < largest < 1e100 else float(largest) or 1.0
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        if not values.size:
            return
        if self._scale != 1.0:
            values = values / self._scale
        mean = float(values.mean())
        squares = float(np.square(values - mean).sum())
        count = self._count + values.size
        away = mean - self._mean
        self._squares += squares + away * away * self._count * values.size / count
        self._mean += away * values.size / count
        self._count = count

    @property
    def mean(self) -> float:
        return self._mean * self._scale

    @property
    def std(self) -> float:
        return math.sqrt(self._squares / self._count) * self._scale
