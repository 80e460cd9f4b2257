"""Finds all damage in a V1 checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from checkpointable.bundle.reading.verify import Damage
from checkpointable.bundle.slices import slice_key
from checkpointable.bundle.v1.values import is_stored
from checkpointable.errors import CheckpointCorruptError

if TYPE_CHECKING:
    from checkpointable.bundle.v1.contents import V1Contents, V1Slice
    from checkpointable.bundle.v1.slices import V1Slices
    from checkpointable.bundle.v1.table import Stretch

__all__ = ["find_v1_damage"]

# As for a bundle: people read the list.
_DAMAGES_MAX = 10_000


def find_v1_damage(
    contents: V1Contents,
    slices: V1Slices,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Damage]:
    """Returns the damage in a checkpoint, at most 10,000; see `BundleReader.verify`."""
    total = sum(table.size for table in contents.tables)
    done, key = 0, ""
    damages: list[Damage] = []
    for shard in range(len(contents.tables)):
        for size, key_of_block, more in _verify_table(contents, slices, shard):
            damages += more[: _DAMAGES_MAX - len(damages)]
            done, key = done + size, key_of_block or key
            if progress is not None:
                progress(done, total, key)
    if progress is not None:
        progress(total, total, key)
    touched = {damage.key for damage in damages}
    for key in contents.values:
        try:
            slices.check_covered(key)
            if key not in touched:
                slices.check_tiled(key)
        except CheckpointCorruptError as error:
            damages.append(Damage(contents.prefix, key, 0, error.what))
    return damages[:_DAMAGES_MAX]


def _verify_table(
    contents: V1Contents, slices: V1Slices, shard: int
) -> Iterator[tuple[int, str, list[Damage]]]:
    """Yields (size, key of the last value, damages) of each block."""
    table = contents.tables[shard]
    expected = {
        slice_key(key, part.extents): (key, part)
        for key, value in contents.values.items()
        for part in value.slices
        if part.shard == shard
    }
    for offset, size, entries in table.blocks():
        if isinstance(entries, str):
            yield size, "", [Damage(table.path, None, offset, entries)]
            continue
        key, damages = "", []
        for stored, stretch in entries:
            if stored in expected:
                key, part = expected.pop(stored)
                damages += _damage_of(contents, slices, key, part, stretch)
            elif stored and len(damages) < _DAMAGES_MAX:
                what = f"the entry {stored!r:.200} does not belong to a listed value"
                damages.append(Damage(table.path, None, offset, what))
        yield size, key, damages
    for key, part in expected.values():
        what = f"its part {part.extents} is not in the file, or in a damaged block"
        yield 0, key, [Damage(table.path, key, 0, what)]


def _damage_of(
    contents: V1Contents, slices: V1Slices, key: str, part: V1Slice, stretch: Stretch
) -> list[Damage]:
    if not is_stored(contents.value(key).dtype):
        return []  # the block is verified; there is no decoder
    try:
        slices.decode(key, part, stretch)
    except CheckpointCorruptError as error:
        path = contents.tables[part.shard].path
        return [Damage(path, key, error.offset or 0, error.what)]
    return []
