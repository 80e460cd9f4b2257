"""Save, then restore, by each library in turn. Before any time is taken, what each restores
is compared with what it was given."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from . import page_cache
from .contenders import OURS, RESTORE_ONLY, SAME_FILES, SAVE_ONLY, Library, libraries
from .timing import Contender, Result, in_turn
from .workloads import Arrays


def check(name: str, library: Library, arrays: Arrays, directory: Path) -> None:
    """One round trip, not timed: raises unless it gives back every value."""
    library.save(directory)
    library.clear()
    library.restore(directory)
    found = library.arrays()
    wrong = [key for key, array in arrays.items() if not np.array_equal(found[key], array)]
    if wrong or found.keys() != arrays.keys():
        raise AssertionError(f"{name} restored {len(wrong)} of {len(arrays)} values wrong")


def _emptied(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


def compare(
    work: str, arrays: Arrays, rounds: int, scratch: Path, *, cold: bool = True
) -> Iterator[Result]:
    """Save, restore from the page cache, and (`cold`) restore from the disk."""
    found = libraries(arrays)
    # Ways to use one library share its files: the page cache is to hold those of all.
    places = {name: scratch / SAME_FILES.get(name, name).replace(", ", "-") for name in found}
    for name, library in found.items():
        places[name].mkdir(exist_ok=True)
        check(name, library, arrays, places[name])

    saves = {
        name: Contender(partial(_emptied, places[name]), partial(library.save, places[name]))
        for name, library in found.items()
        if name not in RESTORE_ONLY
    }
    yield in_turn(f"save {work}", saves, rounds, OURS)

    restores = {
        name: Contender(library.clear, partial(library.restore, places[name]))
        for name, library in found.items()
        if name not in SAVE_ONLY
    }
    yield in_turn(f"restore {work}", restores, rounds, OURS)
    if cold and page_cache.POSSIBLE:
        from_disk = {
            name: Contender(partial(_forgotten, library, places[name]), restores[name].run)
            for name, library in found.items()
            if name in restores
        }
        yield in_turn(f"restore {work}, cold page cache", from_disk, max(3, rounds // 2), OURS)

    for place in set(places.values()):
        shutil.rmtree(place)


def _forgotten(library: Library, directory: Path) -> None:
    library.clear()
    page_cache.drop(directory)
