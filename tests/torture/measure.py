"""The most memory that something took, by the kernel's own account of it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

RATIO, SLACK = 32, 64 * 2**20  # promise 4

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def bound(size):
    """What reading files of so many bytes may take."""
    return RATIO * size + SLACK


_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


class Measured:
    """A context manager; `added` is the peak beyond what there was before, in bytes.

    Nothing is missed between two samples: the kernel's high-water mark is set back first. Nor is
    what would be taken from memory that the allocator had kept: it gives that back first. 0 where
    there is no such mark.
    """

    added = 0

    def __enter__(self):
        self._before = None
        if _trim is not None:
            _trim(0)
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")
            self._before = _status("VmRSS")
        return self

    def __exit__(self, *_):
        if self._before is not None:
            self.added = max(0, _status("VmHWM") - self._before)


def works():
    """Whether it measures what it says: 200 MB are seen."""
    gc.collect()
    with Measured() as measured:
        held = bytearray(200 * 2**20)
        held[:: 2**12] = b"x" * len(held[:: 2**12])
        del held
    return measured.added > 150 * 2**20


def _status(name):
    for line in _STATUS.read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)
