"""Limits the memory that a file can make its reader use.

A small index can expand to much data: keys that share long prefixes, entries of a few bytes,
compressed blocks. A reader uses at most `MEMORY_RATIO` times the size of the files plus
`MEMORY_SLACK`. Regular files stay far below: a table stores every sixteenth key in full, so its
keys are at most sixteen times its size.
"""

from __future__ import annotations

from checkpointable.errors import CheckpointCorruptError

__all__ = ["ENTRY_COST", "MEMORY_RATIO", "MEMORY_SLACK", "Budget"]

MEMORY_RATIO = 32
MEMORY_SLACK = 64 * 2**20

# Reserved for the file itself, which is read as a whole, and for temporary use.
_RESERVED_RATIO = 8
_RESERVED_SLACK = 24 * 2**20

# The memory for an entry in bytes: its columns, its slot in the growing dictionary of keys, and the
# objects of key and row. The characters of the key are added. A regular entry has at least 18
# bytes, for which the ratio allows more than this.
ENTRY_COST = 420


class Budget:
    """The number of bytes that a reader may still use.

    Args:
      path: The path of the file, for the error.
      size: The size of all files of the checkpoint, in bytes.
    """

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self._size = size
        self.total = (MEMORY_RATIO - _RESERVED_RATIO) * size + MEMORY_SLACK - _RESERVED_SLACK
        self.left = self.total

    def spend(self, size: int) -> None:
        """Takes `size` bytes from the budget.

        Raises:
          CheckpointCorruptError: Fewer are left.
        """
        self.left -= size
        if self.left < 0:
            raise CheckpointCorruptError(
                f"the index would take more than {self.total} bytes of memory, {MEMORY_RATIO} "
                f"times what {self._size} bytes on disk can contain: it is damaged, or made to "
                "exhaust its reader",
                path=self._path,
            )

    def spend_entry(self, key_size: int) -> None:
        """Takes the memory for an entry with a key of `key_size` bytes."""
        self.spend(ENTRY_COST + key_size)
