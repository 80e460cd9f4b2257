"""The error for a key that is not there, which names similar ones."""

from __future__ import annotations

from collections.abc import Collection

from checkpointable.errors import CheckpointNotFoundError

__all__ = ["no_such_value"]

# Looking for similar keys takes 20 us a key.
_MOST_KEYS = 1000


def no_such_value(path: str, key: str, known: Collection[str]) -> CheckpointNotFoundError:
    """The error for a value that a checkpoint lacks.

    Args:
      path: of the checkpoint.
      known: the keys that it has.
    """
    import difflib  # for messages alone

    near = difflib.get_close_matches(key, known, 3) if len(known) <= _MOST_KEYS else []
    hint = f"; similar ones are {', '.join(map(repr, near))}" if near else ""
    return CheckpointNotFoundError(
        f"the checkpoint has no value of this key{hint}", path=path, key=key
    )
