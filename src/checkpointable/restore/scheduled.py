"""What an executor restores from, in the way that its restore was asked for (S34, S25)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.restore.progress import RestoreProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from checkpointable.bundle.reading.reader import Verify
    from checkpointable.restore.by_name.parts import Reader

__all__ = ["ScheduledSource"]


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
        reader: Reader,
        keys: Sequence[str],
        verify: Verify,
        progress: Callable[[int, int, str], None] | None,
    ) -> None:
        self.prefix = reader.prefix
        self._reader = reader
        self._verify: Verify = "stream" if verify == "stream" else False
        self._told = None if progress is None else RestoreProgress(progress, reader, [], keys)

    def get_tensor(self, key: str) -> Any:
        """As `BundleReader.get_tensor`."""
        contents = self._reader.get_tensor(key)
        self._tell(key)
        return contents

    def get_variants(self, key: str) -> Any:
        """As `BundleReader.get_variants`."""
        contents = self._reader.get_variants(key)
        self._tell(key)
        return contents

    def shape(self, key: str) -> tuple[int, ...]:
        """As `BundleReader.shape`."""
        return self._reader.shape(key)

    def check(self, keys: Iterable[str]) -> None:
        """As `BundleReader.check`."""
        self._reader.check(keys)

    def read_into(self, targets: Iterable[tuple[str, Any]], verify: Any = False) -> None:
        """As `BundleReader.read_into`."""
        pairs = list(targets)
        steps = [pairs] if self._told is None else self._told.steps(pairs, lambda pair: pair[0])
        for step in steps:
            self._reader.read_into(step, verify=verify or self._verify)

    def _tell(self, key: str) -> None:
        for _ in () if self._told is None else self._told.steps([key], str):
            pass
