"""Names similar to one that does not exist, for error messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from checkpointable.errors import CheckpointNotFoundError

__all__ = ["no_such_value", "similar_names"]

# difflib takes 20 us a name and more. With more names than this, only those that share the most
# segments are compared.
_COMPARED_MAX = 2000
# An error for a missing key may be caught in a loop over many keys, so it has to be cheap.
_KEYS_MAX = 1000


def similar_names(
    name: str, candidates: Iterable[str], count: int = 3, cutoff: float = 0.6
) -> list[str]:
    """Returns the names most similar to `name`, without duplicates.

    Names that end with `/name` come first, then similar ones, the most similar first.

    Args:
      name: The name that does not exist.
      candidates: The names that exist.
      count: The maximum number of names to return.
      cutoff: The minimum similarity of a name, from 0 to 1.
    """
    import difflib  # needed only for messages

    names = list(dict.fromkeys(candidates))
    ending = [other for other in names if other.endswith(f"/{name}")][:count]
    if len(names) > _COMPARED_MAX:
        segments = set(name.split("/"))
        names.sort(key=lambda other: -len(segments.intersection(other.split("/"))))
        del names[_COMPARED_MAX:]
    similar = difflib.get_close_matches(name, names, count, cutoff)
    return list(dict.fromkeys([*ending, *similar]))[:count]


def no_such_value(path: str, key: str, known: Collection[str]) -> CheckpointNotFoundError:
    """Returns the error for a key that a checkpoint does not have.

    The error names similar keys, unless the checkpoint has more than 1000.

    Args:
      path: The checkpoint prefix, or the path of a file.
      key: The key that does not exist.
      known: The keys that exist.
    """
    similar = similar_names(key, known) if len(known) <= _KEYS_MAX else []
    hint = f"; similar ones are {', '.join(map(repr, similar))}" if similar else ""
    return CheckpointNotFoundError(
        f"the checkpoint has no value of this key{hint}", path=path, key=key
    )
