"""Local files, with the fast system calls where they exist.

Linux has all of them. Other systems may lack `pwrite`, `posix_fallocate`, `flock` and the syncing
of directories; portable calls are used there.
"""

from __future__ import annotations

from checkpointable.storage.local.storage import LocalStorage as LocalStorage

__all__ = ["LocalStorage"]
