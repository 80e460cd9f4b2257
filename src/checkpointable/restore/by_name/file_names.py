"""Which name a file of tensors has for a name of a module's `state_dict` (S38)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["FileNames", "bare_names"]

# What wraps a module puts one of these into the names of everything inside.
_WRAPPERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))


class FileNames:
    """The names in a file, as a module looks for them.

    Those of wrappers are looked through: a file of a compiled or a parallel module is one of the
    module inside. A file of several dicts (`{"model": …, "optimizer": …}`) has a section for
    each.

    Args:
      names: those of the file.
      sections: names that stand for a dict within the file.
    """

    def __init__(self, names: Iterable[str], sections: Sequence[str] = ()) -> None:
        self._names = list(names)
        self._all = set(self._names)
        self._sections = sections
        self._bare: dict[str, dict[str, list[str]]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def find(self, aliases: Iterable[str], section: str = "") -> str | None:
        """The name of the first of `aliases` that the file has, below a section; None for none."""
        start = f"{section}." if section else ""
        named = [start + alias for alias in aliases]
        for name in named:
            if name in self._all:
                return name
        bare = self._bare_names(start)
        for name in named:
            found = bare.get(name.removeprefix(start), ())
            if len(found) == 1:  # of two nobody knows which is meant
                return found[0]
        return None

    def section(self, wanted: Sequence[Sequence[str]], path: str) -> str:
        """The section that a module's names are in, "" for the file itself.

        Args:
          wanted: the aliases of each value of the module.
          path: where the program has the module: of several sections, that of this name.

        Raises:
          ValueError: several sections have such names.
        """
        if not self._sections or any(self.find(aliases) for aliases in wanted):
            return ""
        found = [
            section
            for section in self._sections
            if any(self.find(aliases, section) for aliases in wanted)
        ]
        if len(found) > 1 and path in found:
            return path
        if len(found) > 1:
            raise ValueError(
                f"the file has such names below {', '.join(map(repr, found))}: names= says which "
                f"are meant (lambda path: {found[0]!r} + …)"
            )
        return found[0] if found else ""

    def _bare_names(self, start: str) -> dict[str, list[str]]:
        """Name without wrappers -> the names in the file, where these are others."""
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
    """Names of a file -> what they are without wrappers, as far as the names alone tell.

    `_orig_mod` is nobody's own attribute, and a `module` before every name is that of
    `DataParallel` or `DistributedDataParallel`.
    """
    steps = {name: [s for s in name.split(".") if s != "_orig_mod"] for name in names}
    while steps and all(len(own) > 1 and own[0] == "module" for own in steps.values()):
        steps = {name: own[1:] for name, own in steps.items()}
    bare = {name: ".".join(own) for name, own in steps.items()}
    return bare if len(set(bare.values())) == len(bare) else {name: name for name in names}
