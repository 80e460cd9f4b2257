"""Values, checks and the base class of the tests of readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from checkpointable.common.scalar_strings import array_of_contents
from checkpointable.errors import CheckpointError
from checkpointable.readers.reader import CheckpointReader
from checkpointable.readers.reading import load_checkpoint

__all__ = ["DESCRIPTIONS", "GRID", "Array", "ReaderTests", "Write", "equal", "raises", "strings"]

Array = np.ndarray[Any, np.dtype[Any]]
Write = Callable[[Mapping[str, Array]], str]

GRID = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
# The number of calls of `ReaderTests.reads` that describe a value, which a closed reader may do.
DESCRIPTIONS = 4


@contextmanager
def raises(kind: type[BaseException], *words: str) -> Iterator[None]:
    """Checks that the block raises an error of this kind whose message has all of the words."""
    raised: BaseException | None = None
    try:
        yield
    except (CheckpointError, ValueError, TypeError, IndexError) as error:
        raised = error
    assert isinstance(raised, kind), f"{kind.__name__} is expected, not {raised!r}"
    for word in words:
        assert word in str(raised), f"the message does not have {word!r}: {raised}"


def strings(*contents: bytes) -> Array:
    """Returns an array of strings."""
    array = np.empty(len(contents), object)
    array[:] = contents
    return array


def equal(one: Any, other: Array) -> bool:
    """Returns whether a value has the dtype, the shape and the bits of an array."""
    array = array_of_contents(one)
    if array.dtype != other.dtype or array.shape != other.shape:
        return False
    if other.dtype.hasobject:
        return bool((array == other).all())
    return np.ascontiguousarray(array).tobytes() == np.ascontiguousarray(other).tobytes()


class ReaderTests:
    """The base of the suite; its attributes are those of `ReaderConformance`."""

    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float64", "int32", "int64", "uint8", "bool")
    has_strings: ClassVar[bool] = False
    damage: ClassVar[Callable[[str, Array], None] | None] = None

    def open(self, path: str) -> CheckpointReader:
        """Opens a file; override it for a reader that `load_checkpoint` does not know."""
        return load_checkpoint(path)

    def reads(self, reader: CheckpointReader, key: str) -> list[Callable[[], Any]]:
        """Returns the calls that take a key: first those that only describe its value."""
        return [
            lambda: reader.dtype(key),
            lambda: reader.shape(key),
            lambda: reader.dtype_and_shape(key),
            lambda: reader.stored(key),
            lambda: reader.get_tensor(key),
            lambda: reader.get_slice(key, ...),
            lambda: reader.check([key]),
            lambda: reader.read_into([(key, np.zeros_like(GRID))]),
        ]

    def damaged(self, write: Write) -> Iterator[CheckpointReader]:
        """Yields a reader of a file whose value "v", 1000 numbers, is damaged.

        Nothing is yielded for a format without checksums.
        """
        damage = type(self).damage
        if damage is None:
            return
        # Random, so that no format compresses them. "u" keeps "v" away from the start of the file.
        numbers = np.random.default_rng(0).random(101_000).astype(np.float32)
        path = write({"u": numbers[1000:], "v": numbers[:1000]})
        damage(path, numbers[:1000])
        with self.open(path) as reader:
            yield reader
