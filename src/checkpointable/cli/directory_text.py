"""What lies in a directory, as lines and as JSON: for `verify --all` and `repair`."""

from __future__ import annotations

from typing import Any

from checkpointable.cli.manifest_text import manifest_as_json, print_problem
from checkpointable.cli.output import Output
from checkpointable.cli.text import bytes_text, counted, printable
from checkpointable.maintenance.repair import Inspected, Inspection

__all__ = ["inspection_as_json", "print_inspection"]


def inspection_as_json(found: Inspection) -> dict[str, Any]:
    """The document, docs/command-line.md."""
    return {
        "directory": found.directory,
        "ok": found.problem is None
        and all(c.is_whole and (c.manifest is None or c.manifest.holds) for c in found.checkpoints),
        "checkpoints": [
            {
                "checkpoint": checkpoint.prefix,
                "ok": checkpoint.is_whole,
                "values": checkpoint.values,
                "bytes": checkpoint.size,
                "damage": [damage._asdict() for damage in checkpoint.damages],
                "error": checkpoint.refused,
                "manifest": manifest_as_json(checkpoint.manifest),
            }
            for checkpoint in found.checkpoints
        ],
        "latest": found.latest,
        "state_file_problem": found.problem,
        "strays": found.strays,
    }


def print_inspection(out: Output, found: Inspection) -> None:
    """A line a checkpoint, newest first; its damage; the state file; what belongs to none."""
    for checkpoint in found.checkpoints:
        _print_checkpoint(out, checkpoint)
    if found.problem is not None:
        out.line(("STATE FILE", "bold red"), f": {printable(found.problem)}")
    for path in found.strays:
        out.line(("left over", "dim"), f": {printable(path)}")


def _print_checkpoint(out: Output, checkpoint: Inspected) -> None:
    name = printable(checkpoint.prefix)
    if checkpoint.is_whole:
        size = f"{counted(checkpoint.values, 'value')}, {bytes_text(checkpoint.size)}"
        out.line(("OK", "bold green"), f": {name}: {size}")
        print_problem(out, checkpoint.manifest)
        return
    if checkpoint.refused is not None:
        out.line(("UNREADABLE", "bold red"), f": {printable(checkpoint.refused)}")
        return
    for damage in checkpoint.damages:
        key = "" if damage.key is None else f", key {damage.key!r}"
        where = f"{damage.path}{key}, offset {damage.offset}"
        out.line((printable(where), "bold"), f": {printable(damage.what)}")
    places = counted(len(checkpoint.damages), "place")
    out.line(("DAMAGED", "bold red"), f": {name}: {places}")
    print_problem(out, checkpoint.manifest)
