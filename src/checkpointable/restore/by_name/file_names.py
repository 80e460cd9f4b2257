"""Finds the names of a module's `state_dict` in a file of tensors (S38)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["FileNames", "bare_names"]

# Wrappers of modules add one of these to the names of everything inside.
_WRAPPERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))


class FileNames:
    """The names in a file, which a module looks up.

    Names of wrappers are ignored, so that a file of a compiled or a parallel module matches the
    module inside. In a file of several dicts (`{"model": …, "optimizer": …}`), each is a section.

    Args:
      names: the names in the file.
      sections: the names of dicts within the file.
    """

    def __init__(self, names: Iterable[str], sections: Sequence[str] = ()) -> None:
        self._names = list(names)
        self._all = set(self._names)
        self._sections = sections
        self._bare: dict[str, dict[str, list[str]]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def find(self, aliases: Iterable[str], section: str = "") -> str | None:
        """Returns the name in the file of the first alias that it has in a section, or None."""
        start = f"{section}." if section else ""
        named = [start + alias for alias in aliases]
        for name in named:
            if name in self._all:
                return name
        bare = self._bare_names(start)
        for name in named:
            candidates = bare.get(name.removeprefix(start), ())
            if len(candidates) == 1:  # two would be ambiguous
                return candidates[0]
        return None

    def section(self, wanted: Sequence[Sequence[str]], path: str) -> str:
        """Returns the section that has a module's names, "" for the whole file.

        Args:
          wanted: the aliases of each value of the module.
          path: the path of the module, which selects the section of this name out of several.

        Raises:
          ValueError: Several sections have such names, and none is called `path`.
        """
        if not self._sections or any(self.find(aliases) for aliases in wanted):
            return ""
        sections = [
            section
            for section in self._sections
            if any(self.find(aliases, section) for aliases in wanted)
        ]
        if len(sections) > 1 and path in sections:
            return path
        if len(sections) > 1:
            raise ValueError(
                f"the file has such names below {', '.join(map(repr, sections))}; select one with "
                f"names= (lambda path: {sections[0]!r} + …)"
            )
        return sections[0] if sections else ""

    def _bare_names(self, start: str) -> dict[str, list[str]]:
        """Returns name without wrappers -> the names in the file that have wrappers."""
        known = self._bare.get(start)
        if known is None:
            known = self._bare[start] = {}
            for name in self._names:
                inner = name.removeprefix(start)
                if not name.startswith(start) or _WRAPPERS.isdisjoint(inner.split(".")):
                    continue
                bare = ".".join(step for step in inner.split(".") if step not in _WRAPPERS)
                known.setdefault(bare, []).append(name)
        return known


def bare_names(names: Sequence[str]) -> dict[str, str]:
    """Returns name in a file -> name without wrappers, as far as the names alone tell.

    `_orig_mod` always belongs to a wrapper, and so does a `module` before every name
    (`DataParallel`, `DistributedDataParallel`).
    """
    steps = {name: [s for s in name.split(".") if s != "_orig_mod"] for name in names}
    while steps and all(len(path) > 1 and path[0] == "module" for path in steps.values()):
        steps = {name: path[1:] for name, path in steps.items()}
    bare = {name: ".".join(path) for name, path in steps.items()}
    return bare if len(set(bare.values())) == len(bare) else {name: name for name in names}
