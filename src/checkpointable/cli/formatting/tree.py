"""The object tree as text and as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from checkpointable.cli.formatting.json_output import stored_as_json, write_json_rows
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.words import bytes_text, counted, human_size, printable
from checkpointable.cli.object_tree import Branch, ObjectTree
from checkpointable.errors import shown_path
from checkpointable.graph.object_graph import Attribute
from checkpointable.graph.paths import VARIABLE_VALUE, escape
from checkpointable.readers.reader import StoredValue

__all__ = ["print_tree", "write_tree_json"]

# Lines of deeper levels are not indented further, and have the level in brackets.
_DEEPEST_INDENT = 32
_ALIGNED = 500  # lines that are aligned with each other
_NAMES_SHOWN = 10  # of objects and values that cannot be reached


class _Row(NamedTuple):
    guide: str
    name: str
    value: str = ""  # dtype and shape
    size: str = ""  # of the object's value
    note: str = ""  # totals, references
    is_missing: bool = False


class _Guides(NamedTuple):
    more: str
    last: str
    bar: str
    gap: str
    arrow: str


_UNICODE = _Guides("├── ", "└── ", "│   ", "    ", "→")
_ASCII = _Guides("|-- ", "`-- ", "|   ", "    ", "->")


def print_tree(
    out: Output, tree: ObjectTree, prefix: str, node_id: int, depth: int | None, rest: list[str]
) -> None:
    """Prints an object and the objects below it, then the totals.

    Args:
      out: The output.
      tree: The tree.
      prefix: The checkpoint prefix; its last part stands for the root.
      node_id: The object.
      depth: The number of levels to print; None: all.
      rest: Keys of values that belong to no object.
    """
    title = tree.path(node_id) if node_id else os.path.basename(prefix)
    rows = iter(_Drawing(tree, _UNICODE if out.unicode else _ASCII).rows(node_id, title, depth))
    while block := list(islice(rows, _ALIGNED)):
        _print_aligned(out, block)
    if node_id:
        return
    out.line()
    for line in _footer(tree, rest):
        out.line((line, "bold"))


def _footer(tree: ObjectTree, rest: list[str]) -> Iterator[str]:
    count, size = tree.totals(0)
    values = f"{counted(count, 'value')}, {bytes_text(size)}"
    if tree.named:
        yield f"{values}; a name-based checkpoint, without objects"
    else:
        yield f"{counted(len(tree.graph.nodes), 'object')}, {values}"
    unreached = tree.unreached()
    if unreached:
        paths = _joined(tree.path(node_id) for node_id in unreached[:_NAMES_SHOWN])
        number = counted(len(unreached), "unreachable object")
        yield f"{number}: {paths}{_more(unreached)}"
    if rest:
        keys = _joined(rest[:_NAMES_SHOWN])
        yield f"{counted(len(rest), 'value')} of no object: {keys}{_more(rest)}"


def _joined(names: Iterable[str]) -> str:
    return ", ".join(map(printable, names))


def _more(items: list[int] | list[str]) -> str:
    more = len(items) - _NAMES_SHOWN
    return f" and {more:,} more" if more > 0 else ""


class _Drawing:
    """The rows of a tree."""

    def __init__(self, tree: ObjectTree, guides: _Guides) -> None:
        self._tree = tree
        self._guides = guides

    def rows(self, node_id: int, title: str, depth: int | None) -> Iterator[_Row]:
        yield self._object("", printable(title), node_id, is_cut=depth == 0)
        # (entries below an object, the guide before them, the level of the object)
        stack = [(self._entries(node_id, depth, 0), "", 0)]
        while stack:
            entries, guide, level = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            item, is_last = entry
            level += 1
            lead = guide + (self._guides.last if is_last else self._guides.more)
            if level > _DEEPEST_INDENT:
                lead = f"{guide}[{level}] "
            if isinstance(item, Attribute):
                yield self._value(lead, f".ATTRIBUTES/{printable(item.name)}", item, label="")
                continue
            name = self._branch_name(item)
            if item.is_reference:
                arrow = f"{self._guides.arrow} {self._shown_path(item.node_id)}"
                yield _Row(lead, name, note=arrow)
                continue
            is_cut = depth is not None and level >= depth
            yield self._object(lead, name, item.node_id, is_cut=is_cut)
            if level < _DEEPEST_INDENT:
                guide += self._guides.gap if is_last else self._guides.bar
            stack.append((self._entries(item.node_id, depth, level), guide, level))

    def _entries(
        self, node_id: int, depth: int | None, level: int
    ) -> Iterator[tuple[Attribute | Branch, bool]]:
        """Yields (attribute or branch below an object, whether it is the last)."""
        if depth is not None and level >= depth:
            return
        attributes = self._tree.graph.nodes[node_id].attributes
        items: list[Attribute | Branch] = []
        if len(attributes) > 1:
            items += attributes
        items += self._tree.branches(node_id)
        for position, item in enumerate(items, 1):
            yield item, position == len(items)

    def _branch_name(self, branch: Branch) -> str:
        # Escaped as in paths, so that a path can be read off the tree (S10).
        segment = branch.name if self._tree.named else escape(branch.name)
        name = printable(segment) or '""'
        if branch.optimizer_id is None:
            return name
        return f"{name} (slot of {self._shown_path(branch.optimizer_id)})"

    def _shown_path(self, node_id: int) -> str:
        return shown_path(printable(self._tree.path(node_id)))

    def _object(self, guide: str, name: str, node_id: int, *, is_cut: bool) -> _Row:
        """Returns the row of an object: its value, if it has exactly one, and its totals."""
        node = self._tree.graph.nodes[node_id]
        values, size = self._tree.value_counts[node_id], self._tree.byte_counts[node_id]
        notes = []
        slots = {slot.slot_name: None for slot in node.slot_variables}
        if slots:
            variables = {slot.original_variable_node_id for slot in node.slot_variables}
            notes.append(
                f"slots {', '.join(map(printable, slots))}: under "
                f"{counted(len(variables), 'variable')}"
            )
        if values > len(node.attributes) or len(node.attributes) > 1:
            notes.insert(0, f"{counted(values, 'value')}, {human_size(size)}")
        if is_cut and (self._tree.branches(node_id) or len(node.attributes) > 1):
            notes.append("…" if self._guides is _UNICODE else "...")
        note = "; ".join(notes)
        if len(node.attributes) != 1:
            return _Row(guide, name, note=note)
        attribute = node.attributes[0]
        label = "" if attribute.name == VARIABLE_VALUE else f"{printable(attribute.name)}: "
        return self._value(guide, name, attribute, label=label, note=note)

    def _value(
        self, guide: str, name: str, attribute: Attribute, *, label: str, note: str = ""
    ) -> _Row:
        stored = self._tree.lookup(attribute.checkpoint_key)
        if stored is None:
            return _Row(guide, name, f"{label}missing in the index", note=note, is_missing=True)
        return _Row(guide, name, label + _dtype_and_shape(stored), human_size(stored.nbytes), note)


def _dtype_and_shape(value: StoredValue) -> str:
    return f"{value.dtype} {value.shape}"


def _print_aligned(out: Output, rows: list[_Row]) -> None:
    from rich.cells import cell_len

    lefts = [cell_len(row.guide) + cell_len(row.name) for row in rows]
    widest = max(20, out.width // 2) if out.terminal else 60
    left = max((n for n in lefts if n <= widest), default=0)
    middle = min(max(len(row.value) for row in rows), 40)
    right = max(len(row.size) for row in rows)
    for row, width in zip(rows, lefts, strict=True):
        name_style = "bold" if not row.value else ""
        out.line(
            (row.guide, "dim"),
            (row.name, name_style),
            " " * max(0, left - width),
            (f"  {row.value:<{middle}}  {row.size:>{right}}", "red" if row.is_missing else "cyan"),
            (f"  {row.note}" if row.note else "", "dim"),
        )


def write_tree_json(
    tree: ObjectTree, prefix: str, node_id: int, depth: int | None, rest: list[str]
) -> None:
    """Writes an object and the objects below it as JSON (docs/command-line.md).

    The objects are a flat list, because nesting would be as deep as the graph.

    Args: As for `print_tree`.
    """
    head = {"checkpoint": prefix, "kind": "names" if tree.named else "objects"}
    ids = [below for below, _ in tree.below(node_id, depth)]
    if not node_id and depth is None:
        ids += tree.unreached()
    count, size = tree.totals(node_id)
    totals = {"objects": len(ids), "values": count, "bytes": size}
    tail = {"totals": totals, "values_of_no_object": [] if node_id else rest}
    write_json_rows(head, "objects", (_object_as_json(tree, below) for below in ids), tail)


def _object_as_json(tree: ObjectTree, node_id: int) -> dict[str, Any]:
    node = tree.graph.nodes[node_id]
    values = []
    for attribute in node.attributes:
        stored = tree.lookup(attribute.checkpoint_key)
        described = {"key": attribute.checkpoint_key} if stored is None else stored_as_json(stored)
        extra = {"attribute": attribute.name, "full_name": attribute.full_name}
        values.append(described | extra | {"is_missing": stored is None})
    return {
        "id": node_id,
        "path": tree.path(node_id),
        "parent": tree.parent(node_id),
        "name": tree.name(node_id),
        "values": values,
        "children": [{"name": child.local_name, "id": child.node_id} for child in node.children],
        "slots": [
            {
                "name": slot.slot_name,
                "variable": slot.original_variable_node_id,
                "id": slot.slot_variable_node_id,
            }
            for slot in node.slot_variables
        ],
        "total": {"values": tree.value_counts[node_id], "bytes": tree.byte_counts[node_id]},
    }
