"""How a command ends that cannot do what it was asked."""

from __future__ import annotations

__all__ = ["CommandFailedError"]


class CommandFailedError(Exception):
    """Becomes one line on standard error, and exit code 1."""
