"""Maps the names in a file of tensors to object paths, to convert it to a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from checkpointable.graph.paths import join
from checkpointable.restore.by_name.file_names import bare_names

__all__ = ["file_paths"]

_EXTRA = "_extra_state"  # a dict of this name is part of a state dict


def file_paths(
    names: Sequence[str],
    sections: Sequence[str],
    optimizers: Sequence[str],
    module: str | None,
) -> dict[str, tuple[str, str]]:
    """Returns name -> (path in the program, name in the `state_dict` of its module).

    The paths of a state dict begin with `module`. If the file has several state dicts
    (`{"model": …, "ema": …}`), their names follow `module`, if that is given. Values beside state
    dicts keep their name as path. Optimizer states, which are by position, are left out.

    Args:
      names: the names in the file.
      sections, optimizers: names of dicts within it, see `FileDicts`.
      module: the path of the module; None for "model".
    """
    named = [name for name in names if not any(_is_in(name, one) for one in optimizers)]
    top = [one for one in sections if "." not in one and one != _EXTRA]
    parts: dict[str, list[str]] = {}
    for name in named:
        parts.setdefault(next((one for one in top if _is_in(name, one)), ""), []).append(name)
    beside = parts.pop("", [])
    if not parts or any("." in name for name in beside):
        # The whole file is one state dict, which contains dicts.
        return _below("model" if module is None else module, "", named)
    paths: dict[str, tuple[str, str]] = {name: (name, name) for name in beside}
    for part, part_names in parts.items():
        if len(parts) == 1:
            path = "model" if module is None else module
        else:
            path = join(module or "", part)
        paths |= _below(path, f"{part}.", part_names)
    return paths


def _is_in(name: str, section: str) -> bool:
    return not section or name.startswith(f"{section}.")


def _below(path: str, start: str, names: list[str]) -> dict[str, tuple[str, str]]:
    bare = bare_names([name.removeprefix(start) for name in names])
    paths = {}
    for name in names:
        bare_name = bare[name.removeprefix(start)]
        value_path = path
        for step in bare_name.split("."):
            value_path = join(value_path, step)
        paths[name] = value_path, bare_name
    return paths
