"""Types of the arguments that saves, restores and readers share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

__all__ = ["Attached", "Durability", "Path", "Progress"]

Path = str | os.PathLike[str]
Durability = Literal["fsync", "flush"]
Progress = Callable[[int, int, str], None]  # (bytes done, bytes in all, key)
Attached = Sequence[tuple[str, Any]]  # dependencies of a root in addition to those that it tracks
