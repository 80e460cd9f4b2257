"""Names of objects and keys of values in a checkpoint (docs/semantics.md, S9-S11).

    path of an object   segment/segment/…          "" is the root
    key of a value      <path>/.ATTRIBUTES/<attribute>
    key of a slot       <variable path>/.OPTIMIZER_SLOT/<optimizer path>/<slot>/.ATTRIBUTES/…

A segment is the local name of a dependency, escaped so that "/" separates and a leading "."
marks what is not a local name. People see and type paths in this notation everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "GRAPH_KEY",
    "PYTHON_STATE",
    "SLOT_MARK",
    "VARIABLE_VALUE",
    "escape",
    "follow",
    "join",
    "path_of_key",
    "slot_path",
    "split",
    "unescape",
    "upwards",
    "value_key",
]

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VARIABLE_VALUE = "VARIABLE_VALUE"  # the attribute that holds a variable's value
PYTHON_STATE = "py_state"  # the attribute that holds a piece of Python state (S8)
SLOT_MARK = "/.OPTIMIZER_SLOT/"  # between the path of a variable and what names a slot of it


def escape(local_name: str) -> str:
    """The path segment of a local name: `a/b.c` -> `a.Sb..c`."""
    if "." not in local_name and "/" not in local_name:
        return local_name
    return local_name.replace(".", "..").replace("/", ".S")


def unescape(segment: str) -> str:
    """The local name of a path segment; the inverse of `escape`.

    Raises:
      ValueError: a "." that neither "." nor "S" follows.
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
    """The path of the dependency `local_name` of the object at `path`."""
    segment = escape(local_name)
    return f"{path}/{segment}" if path else segment


def split(path: str) -> list[str]:
    """The local names along `path`, from the root."""
    return [unescape(segment) for segment in path.split("/")] if path else []


def follow(
    local_names: Iterable[str], edges: Callable[[int], Iterable[tuple[int, str]]]
) -> int | None:
    """The node that names lead to from the root, node 0; None if they lead nowhere.

    Args:
      edges: the dependencies of a node, (node, local name) each.
    """
    node_id = 0
    for wanted in local_names:
        for child_id, local_name in edges(node_id):
            if local_name == wanted:
                node_id = child_id
                break
        else:
            return None
    return node_id


def upwards(path: str) -> Iterator[str]:
    """The path and those that lead to it, the longest first; the root's, "", is left out."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def value_key(path: str, attribute: str) -> str:
    """The key of a value of the object at `path`; the root's path is "", its keys start "/"."""
    return f"{path}/.ATTRIBUTES/{attribute}"


def path_of_key(key: str) -> str:
    """The path of the object whose value has this key; "" for the root's, and for no such key."""
    return key.rpartition("/.ATTRIBUTES/")[0]


def slot_path(variable_path: str, optimizer_path: str, slot_name: str) -> str:
    """The path under which a slot variable's values are stored (S11)."""
    return f"{variable_path}{SLOT_MARK}{optimizer_path}/{escape(slot_name)}"
