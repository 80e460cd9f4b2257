"""Where the names of a file of tensors go that is to become a checkpoint with an object graph."""

from __future__ import annotations

from collections.abc import Sequence

from checkpointable.graph.paths import join
from checkpointable.restore.by_name.file_names import bare_names

__all__ = ["file_paths"]

_EXTRA = "_extra_state"  # a dict of this name is a module's own, in the midst of its state dict


def file_paths(
    names: Sequence[str],
    sections: Sequence[str],
    optimizers: Sequence[str],
    module: str | None,
) -> dict[str, tuple[str, str]]:
    """Name -> path in the program, and the name that its module's `state_dict` has for it.

    A state dict goes below `module`. Of a file that holds state dicts (`{"model": …, "ema": …}`)
    the only one does, too; of several each goes by its own name, below `module` if that is given.
    What lies beside them goes by its own name as well. States of optimizers, which go by
    position, have no path.

    Args:
      names: those in the file.
      sections, optimizers: names of dicts within it, see `FileDicts`.
      module: path of the module; None: "model".
    """
    named = [name for name in names if not any(_is_in(name, one) for one in optimizers)]
    top = [one for one in sections if "." not in one and one != _EXTRA]
    parts: dict[str, list[str]] = {}
    for name in named:
        parts.setdefault(next((one for one in top if _is_in(name, one)), ""), []).append(name)
    beside = parts.pop("", [])
    if not parts or any("." in name for name in beside):
        # A state dict: what it has in dicts is in the midst of it.
        return _below("model" if module is None else module, "", named)
    found: dict[str, tuple[str, str]] = {name: (name, name) for name in beside}
    for part, own in parts.items():
        if len(parts) == 1:
            path = "model" if module is None else module
        else:
            path = join(module or "", part)
        found |= _below(path, f"{part}.", own)
    return found


def _is_in(name: str, section: str) -> bool:
    return not section or name.startswith(f"{section}.")


def _below(path: str, start: str, names: list[str]) -> dict[str, tuple[str, str]]:
    bare = bare_names([name.removeprefix(start) for name in names])
    found = {}
    for name in names:
        own = bare[name.removeprefix(start)]
        place = path
        for step in own.split("."):
            place = join(place, step)
        found[name] = place, own
    return found
