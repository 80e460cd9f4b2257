"""Renders a report as a plain-text table or as a coloured tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from checkpointable.graph.paths import PYTHON_STATE, VARIABLE_VALUE
from checkpointable.report.report import Outcome, Report, ReportEntry

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["renames_text", "table", "tree", "value_name"]

_COLOURS = {
    Outcome.RESTORED: "green",
    Outcome.DEFERRED: "cyan",
    Outcome.MISSING: "red",
    Outcome.UNUSED: "yellow",
    Outcome.MISMATCH: "bold red",
    Outcome.AMBIGUOUS: "magenta",
}

_WIDEST = 200  # characters that the other rows are padded to, at most
_DEEPEST = 16  # levels of the tree: a terminal shows no more


def table(report: Report) -> str:
    """Returns one line per value: path, outcome, both sides, likely counterpart."""
    rows = [("path", "outcome", "checkpoint", "program", "")]
    rows += [
        (
            value_name(entry.path, entry.attribute),
            entry.outcome.value,
            "-" if entry.checkpoint is None else str(entry.checkpoint),
            "-" if entry.program is None else str(entry.program),
            _remark(entry),
        )
        for entry in report.entries
    ]
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    lines = [line.rstrip() for line in lines]
    return "\n".join([f"{report.checkpoint}: {_summary(report)}", *lines, *_footer(report)])


def tree(report: Report) -> Tree:
    """Returns the paths as a tree, each value in the colour of its outcome."""
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text(f"{report.checkpoint}: {_summary(report)}", style="bold"))
    branches: dict[tuple[str, ...], Any] = {(): root}
    for entry in report.entries:
        segments = tuple(entry.path.split("/", _DEEPEST)) if entry.path else ()
        for depth in range(1, len(segments)):
            ancestors = segments[:depth]
            if ancestors not in branches:
                branches[ancestors] = branches[ancestors[:-1]].add(Text(ancestors[-1]))
        label = Text(value_name(segments[-1] if segments else "", entry.attribute))
        label.append(f"  {entry.outcome.value}", style=_COLOURS[entry.outcome])
        sides = _sides(entry)
        remark = _remark(entry)
        label.append(f"  {sides}", style="dim")
        if remark:
            label.append(f"  {remark}", style="italic")
        branch = branches[segments[:-1]].add(label)
        branches.setdefault(segments, branch)
    for line in _footer(report):
        root.add(Text(line))
    return root


def renames_text(renames: Mapping[str, str]) -> str:
    """Returns renames as the keyword argument of a call."""
    inner = ", ".join(f"{old!r}: {new!r}" for old, new in renames.items())
    return f"renames={{{inner}}}"


def value_name(path: str, attribute: str) -> str:
    """Returns the path of a value, with its attribute unless that is the usual one."""
    name = path or "(root)"
    return name if attribute in (VARIABLE_VALUE, PYTHON_STATE, "") else f"{name} ({attribute})"


def _sides(entry: ReportEntry) -> str:
    if entry.outcome is Outcome.MISMATCH:
        return f"{entry.checkpoint} in the checkpoint, {entry.program} in the program"
    return str(entry.checkpoint or entry.program or "")


def _remark(entry: ReportEntry) -> str:
    parts = []
    if entry.candidate is not None:
        parts.append(f"likely {entry.candidate}")
    elif entry.candidates:
        parts.append(f"one of {', '.join(entry.candidates)}?")
    if entry.note:
        parts.append(entry.note)
    return "; ".join(parts)


def _summary(report: Report) -> str:
    counts = report.counts
    if not counts:
        return "no values"
    return ", ".join(f"{number} {outcome}" for outcome, number in counts.items())


def _footer(report: Report) -> list[str]:
    lines = list(report.notes)
    if report.renames:
        lines.append(f"likely renamed: {renames_text(report.renames)}")
    return lines
