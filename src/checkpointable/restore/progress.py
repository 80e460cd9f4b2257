"""Reports the progress of a restore to the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from checkpointable.bundle.variants import decode_variants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.readers.reader import ValueReader

__all__ = ["RestoreProgress", "ScheduledSource", "steps"]

_Item = TypeVar("_Item")

_STEP = 32 * 2**20  # bytes between two calls, at least


class RestoreProgress:
    """Calls back with (bytes done, bytes in total, key) as values are verified and restored.

    Args:
      callback: the function of the user.
      reader: the checkpoint.
      checked: keys of the values to verify before the first assignment.
      assigned: keys of the values to assign.
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
        """Yields the items in portions. A portion counts as done when the next one is requested."""
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


def steps(
    progress: RestoreProgress | None, items: Sequence[_Item], key_of: Callable[[_Item], str]
) -> Iterable[Sequence[_Item]]:
    """Returns the portions of `RestoreProgress.steps`, or all items at once without progress."""
    return [items] if progress is None else progress.steps(items, key_of)


class ScheduledSource:
    """Reads the values that an executor restores; see `graph.executor.Source` (S34).

    Args:
      reader: the checkpoint.
      keys: the keys of the values to restore.
      verify: as in `restore`. If True, the values were verified when `restore` was called.
      progress: called with (bytes done, bytes in total, key), or None.
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
        self._progress = None if progress is None else RestoreProgress(progress, reader, [], keys)

    def get_tensor(self, key: str) -> Any:
        """As `ValueReader.get_tensor`."""
        contents = self._reader.get_tensor(key)
        self._advance(key)
        return contents

    def get_variants(self, key: str) -> Any:
        """As `Source.get_variants`."""
        contents = decode_variants(self._reader.get_bytes(key), self._reader.shape(key))
        self._advance(key)
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
        for step in steps(self._progress, pairs, lambda pair: pair[0]):
            self._reader.read_into(step, verify=verify or self._verify)

    def _advance(self, key: str) -> None:
        for _ in steps(self._progress, [key], str):
            pass


def _size(reader: ValueReader, key: str) -> int:
    return reader.stored(key).nbytes
