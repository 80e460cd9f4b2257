"""A bound on the memory that a file can make its reader use.

An index can be small and mean much: keys that share long prefixes, entries of a few bytes,
compressed blocks. What a reader holds for it stays within `MEMORY_RATIO` times the size of
the checkpoint's files plus `MEMORY_SLACK`, whatever the index says. Honest files are far
below: a table stores every sixteenth key whole, so its keys are at most sixteen times its
size.
"""

from __future__ import annotations

from checkpointable.errors import CheckpointCorruptError

__all__ = ["ENTRY_COST", "MEMORY_RATIO", "MEMORY_SLACK", "Budget"]

MEMORY_RATIO = 32
MEMORY_SLACK = 64 * 2**20

# What is left for the file itself (read whole) and for passing use.
_RESERVED_RATIO = 8
_RESERVED_SLACK = 24 * 2**20

# An entry's columns, its place in the dictionary of keys while that grows, and the objects of
# key and row, in bytes; the key's characters come on top. An honest entry has 18 bytes at
# least, which the ratio lets cost more than this.
ENTRY_COST = 420


class Budget:
    """What a reader may still use, in bytes.

    Args:
      path: of the file that is read, for the error.
      size: of all files of the checkpoint, in bytes.
    """

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self._size = size
        self.total = (MEMORY_RATIO - _RESERVED_RATIO) * size + MEMORY_SLACK - _RESERVED_SLACK
        self.left = self.total

    def spend(self, size: int) -> None:
        """Takes `size` bytes from the budget.

        Raises:
          CheckpointCorruptError: there are not so many left.
        """
        self.left -= size
        if self.left < 0:
            raise CheckpointCorruptError(
                f"the index would take more than {self.total} bytes of memory, {MEMORY_RATIO} "
                f"times what the checkpoint's {self._size} bytes on disk can mean: it is "
                "damaged, or made to exhaust its reader",
                path=self._path,
            )

    def spend_entry(self, key_size: int) -> None:
        """Takes what an entry with a key of `key_size` bytes costs."""
        self.spend(ENTRY_COST + key_size)
