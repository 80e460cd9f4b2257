"""The library's logger: `logging.getLogger("checkpointable")`."""

from __future__ import annotations

import logging

__all__ = ["logger"]

logger = logging.getLogger("checkpointable")
