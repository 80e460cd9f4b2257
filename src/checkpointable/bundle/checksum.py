"""CRC-32C (Castagnoli) checksums: computed, masked for storage, and combined."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from checkpointable.bundle.format import CRC_MASK_DELTA, MASKED_SIZE
from checkpointable.wire.varints import Malformed

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    import numpy.typing as npt

    Crc32c: TypeAlias = Callable[..., int]
    ByteOrder: TypeAlias = Literal["little", "big"]

_Int = TypeVar("_Int", int, "npt.NDArray[np.int64]")

__all__ = [
    "check_masked",
    "combine",
    "crc32c",
    "encode_masked",
    "load_crc32c",
    "mask",
    "unmask",
]

# The polynomial with its bits reversed, as the checksum itself is.
_POLYNOMIAL = 0x82F63B78
_ONE = 1 << 31  # the polynomial "1" in that order

_loaded: Any = None


def load_crc32c() -> Crc32c:
    """Returns the function `crc32c(data, value=0) -> int`, for loops that call it often.

    It accepts any C-contiguous buffer and releases the GIL for large ones.
    """
    global _loaded  # noqa: PLW0603 - imported when first needed: it takes 10 ms and more
    if _loaded is None:
        from crc32c import crc32c as function

        _loaded = function
    function_: Crc32c = _loaded
    return function_


def crc32c(data: bytes | bytearray | memoryview, value: int = 0) -> int:
    """Returns the checksum of `data`; `value` is the checksum of the bytes before it."""
    return load_crc32c()(data, value)


def mask(crc: int) -> int:
    """Returns the form in which a checksum is stored.

    The checksum of bytes that contain their checksum is weak. Hence LevelDB's mask: rotate right
    by 15 bits and add a constant.
    """
    return (((crc >> 15) | (crc << 17)) + CRC_MASK_DELTA) & 0xFFFFFFFF


def unmask(masked: _Int) -> _Int:
    """Returns the checksum for its masked form; also for an array of them (int64)."""
    rotated = (masked - CRC_MASK_DELTA) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def encode_masked(crc: int, order: ByteOrder = "little") -> bytes:
    """Returns a checksum as it is stored: masked, 4 bytes."""
    return mask(crc).to_bytes(MASKED_SIZE, order)


def check_masked(
    what: str, crc: int, stored: bytes | memoryview, position: int, order: ByteOrder = "little"
) -> None:
    """Compares a checksum with the stored form of the expected one.

    Args:
      what: The name of the checked bytes, for the message.
      crc: The actual checksum, not masked.
      stored: The 4 bytes of the expected one.
      position: The position of the checked bytes, for the error.
      order: The byte order of `stored`.

    Raises:
      Malformed: The two differ.
    """
    actual, expected = mask(crc), int.from_bytes(stored, order)
    if actual != expected:
        raise Malformed(
            f"the checksum of {what} is {actual:#010x}, but {expected:#010x} is stored: the file "
            "is damaged",
            position,
        )


def combine(first: int, second: int, second_size: int) -> int:
    """Returns the checksum of two adjacent byte strings from the checksum of each.

    Appending n bytes multiplies the first checksum by x^(8n) modulo the polynomial (the method of
    zlib's `crc32_combine`).
    """
    return _multiply(_power(second_size), first) ^ second


def _multiply(a: int, b: int) -> int:
    """Returns a·b modulo the polynomial, over GF(2), bits reversed."""
    product = 0
    bit = _ONE
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=64)
def _square(exponent: int) -> int:
    """Returns x^(2^exponent) modulo the polynomial."""
    if exponent == 0:
        return _ONE >> 1
    root = _square(exponent - 1)
    return _multiply(root, root)


@lru_cache(maxsize=256)
def _power(size: int) -> int:
    """Returns x^(8·size) modulo the polynomial."""
    product = _ONE
    exponent = 3
    while size:
        if size & 1:
            product = _multiply(_square(exponent), product)
        size >>= 1
        exponent += 1
    return product
