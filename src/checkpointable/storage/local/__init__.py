"""Files of the operating system, with its fast paths where it has them.

Linux has all of them; elsewhere `pwrite`, `posix_fallocate`, `flock` and the syncing of
directories may be missing, and a plain way takes their place.
"""

from __future__ import annotations

from checkpointable.storage.local.storage import LocalStorage as LocalStorage

__all__ = ["LocalStorage"]
