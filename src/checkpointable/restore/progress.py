"""Reports the progress of a restore to the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from checkpointable.bundle.variants import decode_variants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.readers.reader import ValueReader

__all__ = ["RestoreProgress", "ScheduledSource"]

_Item = TypeVar("_Item")

# What is done between two calls: so many bytes, and a value more.
_STEP = 32 * 2**20


class RestoreProgress:
    """Calls back with (bytes done, bytes in all, key) as values are verified and restored.

    Args:
      reader: where the values are.
      checked: keys of the values that are verified before the first one changes.
      assigned: keys of those that are then assigned.
    """

    def __init__(
        self,
        callback: Callable[[int, int, str], None],
        reader: ValueReader,
        checked: Sequence[str],
        assigned: Sequence[str],
    ) -> None:
        self._callback = callback
        self._sizes = {key: _size(reader, key) for key in (*checked, *assigned)}
        self._total = sum(self._sizes[key] for key in (*checked, *assigned))
        self._done = 0

    def steps(
        self, items: Sequence[_Item], key_of: Callable[[_Item], str]
    ) -> Iterator[list[_Item]]:
        """The items in portions, which count as done when the next one is asked for."""
        step: list[_Item] = []
        size = 0
        for item in items:
            step.append(item)
            size += self._sizes.get(key_of(item), 0)
            if size >= _STEP:
                yield step
                self._advance(size, key_of(item))
                step, size = [], 0
        if step:
            yield step
            self._advance(size, key_of(step[-1]))

    def _advance(self, size: int, key: str) -> None:
        self._done += size
        self._callback(self._done, self._total, key)


class ScheduledSource:
    """A reader that verifies and tells how far it is; see `graph.executor.Source`.

    Args:
      reader: where the values are.
      keys: those of the values that are restored.
      verify: that of the restore: `True` has verified them when it was called.
      progress: is called with (bytes done, bytes in all, key), or is None.
    """

    def __init__(
        self,
        reader: ValueReader,
        keys: Sequence[str],
        verify: Verify,
        progress: Callable[[int, int, str], None] | None,
    ) -> None:
        self.prefix = reader.prefix
        self._reader = reader
        self._verify: Verify = "stream" if verify == "stream" else False
        self._told = None if progress is None else RestoreProgress(progress, reader, [], keys)

    def get_tensor(self, key: str) -> Any:
        """As `ValueReader.get_tensor`."""
        contents = self._reader.get_tensor(key)
        self._tell(key)
        return contents

    def get_variants(self, key: str) -> Any:
        """As `Source.get_variants`."""
        contents = decode_variants(self._reader.get_bytes(key), self._reader.shape(key))
        self._tell(key)
        return contents

    def shape(self, key: str) -> tuple[int, ...]:
        """As `ValueReader.shape`."""
        return self._reader.shape(key)

    def check(self, keys: Iterable[str]) -> None:
        """As `ValueReader.check`."""
        self._reader.check(keys)

    def read_into(self, targets: Iterable[tuple[str, Any]], verify: Any = False) -> None:
        """As `ValueReader.read_into`."""
        pairs = list(targets)
        steps = [pairs] if self._told is None else self._told.steps(pairs, lambda pair: pair[0])
        for step in steps:
            self._reader.read_into(step, verify=verify or self._verify)

    def _tell(self, key: str) -> None:
        for _ in () if self._told is None else self._told.steps([key], str):
            pass


def _size(reader: ValueReader, key: str) -> int:
    return reader.stored(key).nbytes
