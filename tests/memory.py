"""The anonymous memory of this process, sampled while something runs."""

from __future__ import annotations

import threading
from pathlib import Path


def anonymous() -> int:
    """Bytes of RssAnon: mapped file pages do not count."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


class Peak:
    """A context manager; `added` is the most that there was beyond what there was before."""

    def __enter__(self) -> Peak:
        self._before = self._most = anonymous()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._end.wait(0.002):
            self._most = max(self._most, anonymous())

    @property
    def added(self) -> int:
        return max(self._most, anonymous()) - self._before
