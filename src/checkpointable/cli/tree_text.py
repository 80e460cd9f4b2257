"""The object tree as lines of text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from checkpointable.cli.opening import Stored
from checkpointable.cli.output import Output
from checkpointable.cli.text import bytes_text, counted, human_size, printable
from checkpointable.cli.tree import Branch, ObjectTree
from checkpointable.errors import shown_path
from checkpointable.graph.object_graph import Attribute
from checkpointable.graph.paths import VARIABLE_VALUE, escape

__all__ = ["print_tree"]

# From this level on a line is not indented further: the level stands in brackets.
_DEEPEST_INDENT = 32
_ALIGNED = 500  # lines that are aligned together
_UNNAMED_SHOWN = 10


class _Row(NamedTuple):
    guide: str
    name: str
    value: str = ""  # dtype and shape
    size: str = ""  # its own bytes
    note: str = ""  # totals, references
    is_wrong: bool = False


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
    """Prints an object and what hangs under it, then the totals.

    Args:
      prefix: the checkpoint's, which the root is called by.
      depth: how many levels to go down; None: all.
      rest: keys of values that no object has.
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
    lost = tree.unreached()
    if lost:
        paths = _some(tree.path(node_id) for node_id in lost[:_UNNAMED_SHOWN])
        yield f"{counted(len(lost), 'object')} that nothing leads to: {paths}{_more(lost)}"
    if rest:
        keys = _some(rest[:_UNNAMED_SHOWN])
        yield f"{counted(len(rest), 'value')} of no object: {keys}{_more(rest)}"


def _some(names: Iterable[str]) -> str:
    return ", ".join(map(printable, names))


def _more(items: list[int] | list[str]) -> str:
    more = len(items) - _UNNAMED_SHOWN
    return f" and {more:,} more" if more > 0 else ""


class _Drawing:
    def __init__(self, tree: ObjectTree, guides: _Guides) -> None:
        self._tree = tree
        self._guides = guides

    def rows(self, node_id: int, title: str, depth: int | None) -> Iterator[_Row]:
        yield self._object("", printable(title), node_id, is_cut=depth == 0)
        # (what hangs under one object, the guide before it, the level of the object)
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
        """(what hangs under an object, whether it is the last)."""
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
        # A segment as paths have it, so that a path can be read off the tree (S10).
        segment = branch.name if self._tree.named else escape(branch.name)
        name = printable(segment) or '""'
        if branch.optimizer_id is None:
            return name
        return f"{name} (slot of {self._shown_path(branch.optimizer_id)})"

    def _shown_path(self, node_id: int) -> str:
        return shown_path(printable(self._tree.path(node_id)))

    def _object(self, guide: str, name: str, node_id: int, *, is_cut: bool) -> _Row:
        """The line of an object: with its value, if it has just one, and its totals."""
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
            return _Row(guide, name, f"{label}missing in the index", note=note, is_wrong=True)
        return _Row(guide, name, label + _kind(stored), human_size(stored.size), note)


def _kind(value: Stored) -> str:
    return f"{value.dtype} {value.shape}"


def _print_aligned(out: Output, rows: list[_Row]) -> None:
    from rich.cells import cell_len

    lefts = [cell_len(row.guide) + cell_len(row.name) for row in rows]
    most = max(20, out.width // 2) if out.terminal else 60
    left = max((n for n in lefts if n <= most), default=0)
    middle = min(max(len(row.value) for row in rows), 40)
    right = max(len(row.size) for row in rows)
    for row, width in zip(rows, lefts, strict=True):
        name_style = "bold" if not row.value else ""
        out.line(
            (row.guide, "dim"),
            (row.name, name_style),
            " " * max(0, left - width),
            (f"  {row.value:<{middle}}  {row.size:>{right}}", "red" if row.is_wrong else "cyan"),
            (f"  {row.note}" if row.note else "", "dim"),
        )
