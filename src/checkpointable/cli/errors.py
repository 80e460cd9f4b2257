"""The error of a command that cannot do what it was asked to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checkpointable.errors import CheckpointError

__all__ = ["CommandFailedError", "value_errors_as_lines"]


class CommandFailedError(Exception):
    """Becomes one line on standard error, and exit code 1."""


@contextmanager
def value_errors_as_lines() -> Iterator[None]:
    """Turns a `ValueError` for an argument, such as a rename or a key, into one line."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, (CheckpointError, OSError)):
            raise
        raise CommandFailedError(str(error)) from None
