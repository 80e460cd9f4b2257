"""One value: what it is, where it lies, and what its elements are like."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from checkpointable.cli.opening import Stored, stored
from checkpointable.common.types import Progress
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.readers.reader import CheckpointReader, Location

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]

__all__ = ["Details", "Number", "describe", "statistics"]

Number: TypeAlias = int | float | complex

# Elements that are looked at together: few enough for a processor's cache.
_CHUNK = 1 << 17


@dataclass
class Details:
    """What is known of a value.

    Attributes:
      stored: what the index says of it.
      elements: how many it has.
      locations: where its bytes lie; several for a partitioned value.
      contents: its elements; None if they cannot be read.
      note: why they cannot.
      is_verified: whether the checksum of its bytes was compared, and holds.
      statistics: of its elements, by name.
    """

    stored: Stored
    elements: int
    locations: list[Location]
    contents: Array | None
    note: str
    is_verified: bool
    statistics: dict[str, Number]


def describe(reader: CheckpointReader, key: str, progress: Progress | None = None) -> Details:
    """Reads and verifies a value.

    Args:
      progress: called with (bytes done, bytes in all, key) as its elements are looked at; each
        counts as often as it is.

    Raises:
      CheckpointNotFoundError, CheckpointCorruptError
    """
    about = stored(reader, key)
    details = Details(
        about,
        elements=math.prod(about.shape),
        locations=reader.locations(key),
        contents=None,
        note="",
        is_verified=reader.has_checksums,
        statistics={},
    )
    try:
        details.contents = _as_array(reader.get_tensor(key))
        passes = _Passes(key, details.contents, about.dtype, progress)
        details.statistics = statistics(details.contents, about.dtype, passes)
    except CheckpointUnsupportedError as error:
        details.note = error.what
        details.is_verified = _verify_bytes(reader, key)
    return details


def _verify_bytes(reader: CheckpointReader, key: str) -> bool:
    """Verifies a value that has no array; False if that cannot be done for it alone."""
    try:
        reader.get_bytes(key)
    except CheckpointUnsupportedError:
        return False
    return True


def _as_array(contents: Array | bytes) -> Array:
    if isinstance(contents, bytes):
        array = np.empty((), object)
        array[()] = contents
        return array
    return contents


class _Passes:
    """The elements of a value in chunks, as often as they are looked at; tells how far that is."""

    def __init__(
        self, key: str, array: Array, dtype: str, progress: Progress | None = None
    ) -> None:
        self._key = key
        self._progress = progress
        # Of complex numbers both parts, each half of the bytes.
        self._done, self._total = 0, (1 if "int" in dtype else 2) * array.nbytes

    def over(self, flat: Array) -> Iterator[Array]:
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK]
            yield chunk
            self._done += chunk.nbytes
            if self._progress is not None:
                self._progress(self._done, self._total, self._key)


def statistics(array: Array, dtype: str, passes: _Passes | None = None) -> dict[str, Number]:
    """Numbers about the elements of an array; none if it has none.

    numbers: min, max, mean, std of those that are finite; of floats also how many are nan, inf
    complex: abs_min, abs_max, mean, std, nan, inf
    bool:    true, false
    string:  shortest, longest, total (bytes)

    Args:
      dtype: its name in the checkpoint.
      passes: in what its elements are looked at.
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
    """(the finite ones, how many are NaN, how many are infinite)."""
    finite = np.isfinite(values)
    if finite.all():
        return values, 0, 0
    nan = int(np.count_nonzero(np.isnan(values)))
    kept = values[finite]
    return kept, nan, values.size - kept.size - nan


class _Moments:
    """Mean and standard deviation of chunks, merged without loss (Chan et al. 1979).

    Args:
      largest: the largest magnitude to come. What is too large to be squared is scaled.
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
