"""Paths of objects and keys of values in a checkpoint (docs/semantics.md, S9-S11).

    path of an object   segment/segment/…          "" is the root
    key of a value      <path>/.ATTRIBUTES/<attribute>
    key of a slot       <variable path>/.OPTIMIZER_SLOT/<optimizer path>/<slot>/.ATTRIBUTES/…

A segment is the local name of a dependency, escaped so that "/" separates segments and a leading
"." marks a segment that is not a local name. Users always read and write paths in this notation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "ATTRIBUTES_MARK",
    "GRAPH_KEY",
    "PYTHON_STATE",
    "SLOT_MARK",
    "VARIABLE_VALUE",
    "escape",
    "follow",
    "join",
    "path_of",
    "path_of_key",
    "slot_path",
    "split",
    "unescape",
    "upwards",
    "value_key",
]

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VARIABLE_VALUE = "VARIABLE_VALUE"  # the attribute that is a variable's value
PYTHON_STATE = "py_state"  # the attribute that is Python state (S8)
SLOT_MARK = "/.OPTIMIZER_SLOT/"  # between a variable's path and the name of one of its slots
ATTRIBUTES_MARK = "/.ATTRIBUTES/"  # between an object's path and the name of its value


def escape(local_name: str) -> str:
    """Returns the path segment of a local name: `a/b.c` -> `a.Sb..c`."""
    if "." not in local_name and "/" not in local_name:
        return local_name
    return local_name.replace(".", "..").replace("/", ".S")


def unescape(segment: str) -> str:
    """Returns the local name of a path segment; the inverse of `escape`.

    Raises:
      ValueError: neither "." nor "S" follows a ".".
    """
    if "." not in segment:
        return segment
    parts: list[str] = []
    position = 0
    while True:
        dot = segment.find(".", position)
        if dot < 0:
            parts.append(segment[position:])
            return "".join(parts)
        parts.append(segment[position:dot])
        following = segment[dot + 1 : dot + 2]
        if following == ".":
            parts.append(".")
        elif following == "S":
            parts.append("/")
        else:
            raise ValueError(f"path segment {segment!r}: '.' must be followed by '.' or 'S'")
        position = dot + 2


def join(path: str, local_name: str) -> str:
    """Returns the path of the dependency `local_name` of the object at `path`."""
    segment = escape(local_name)
    return f"{path}/{segment}" if path else segment


def split(path: str) -> list[str]:
    """Returns the local names along `path`, from the root; the inverse of `path_of`."""
    return [unescape(segment) for segment in path.split("/")] if path else []


def path_of(local_names: Iterable[str]) -> str:
    """Returns the path to which local names lead from the root."""
    return "/".join(map(escape, local_names))


def follow(
    local_names: Iterable[str], edges: Callable[[int], Iterable[tuple[int, str]]]
) -> int | None:
    """Returns the node to which local names lead from the root, node 0; None if there is none.

    Args:
      local_names: the names along the path.
      edges: returns the dependencies of a node, as (node, local name).
    """
    node_id = 0
    for name in local_names:
        for child_id, local_name in edges(node_id):
            if local_name == name:
                node_id = child_id
                break
        else:
            return None
    return node_id


def upwards(path: str) -> Iterator[str]:
    """Yields `path` and the paths above it, the longest first, without the root's."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def value_key(path: str, attribute: str) -> str:
    """Returns the key of a value of the object at `path`; the keys of the root's start with "/"."""
    return f"{path}{ATTRIBUTES_MARK}{attribute}"


def path_of_key(key: str) -> str:
    """Returns the path of the object whose value has this key; "" for the root or no such key."""
    return key.rpartition(ATTRIBUTES_MARK)[0]


def slot_path(variable_path: str, optimizer_path: str, slot_name: str) -> str:
    """Returns the path under which the values of a slot variable are stored (S11)."""
    return f"{variable_path}{SLOT_MARK}{optimizer_path}/{escape(slot_name)}"
