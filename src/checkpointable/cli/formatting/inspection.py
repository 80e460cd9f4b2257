"""The inspection of a directory, as text and as JSON: for `verify --all` and `repair`."""

from __future__ import annotations

from typing import Any

from checkpointable.bundle import Damage
from checkpointable.cli.formatting.manifest import manifest_as_json, print_problem
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.words import bytes_text, counted, printable
from checkpointable.maintenance.inspection import InspectedCheckpoint, Inspection

__all__ = ["inspection_as_json", "print_damages", "print_inspection"]


def inspection_as_json(inspection: Inspection) -> dict[str, Any]:
    """Returns the document of `verify --all` (docs/command-line.md)."""
    return {
        "directory": inspection.directory,
        "ok": inspection.ok,
        "checkpoints": [
            {
                "checkpoint": checkpoint.prefix,
                "ok": checkpoint.is_whole,
                "values": checkpoint.values,
                "bytes": checkpoint.size,
                "damage": [damage._asdict() for damage in checkpoint.damages],
                "error": checkpoint.error,
                "manifest": manifest_as_json(checkpoint.manifest),
            }
            for checkpoint in inspection.checkpoints
        ],
        "latest": inspection.latest,
        "state_file_problem": inspection.problem,
        "strays": inspection.strays,
    }


def print_inspection(out: Output, inspection: Inspection) -> None:
    """Prints the checkpoints, newest first, then problems of the state file, and strays."""
    for checkpoint in inspection.checkpoints:
        _print_checkpoint(out, checkpoint)
    if inspection.problem is not None:
        out.line(("STATE FILE", "bold red"), f": {printable(inspection.problem)}")
    for path in inspection.strays:
        out.line(("left over", "dim"), f": {printable(path)}")


def _print_checkpoint(out: Output, checkpoint: InspectedCheckpoint) -> None:
    if checkpoint.is_whole:
        size = f"{counted(checkpoint.values, 'value')}, {bytes_text(checkpoint.size)}"
        out.line(("OK", "bold green"), f": {printable(checkpoint.prefix)}: {size}")
        print_problem(out, checkpoint.manifest)
    elif checkpoint.error is not None:
        out.line(("UNREADABLE", "bold red"), f": {printable(checkpoint.error)}")
    else:
        print_damages(out, checkpoint.prefix, checkpoint.damages)
        print_problem(out, checkpoint.manifest)


def print_damages(out: Output, prefix: str, damages: list[Damage]) -> None:
    """Prints each damage of a checkpoint, then their number."""
    for damage in damages:
        key = "" if damage.key is None else f", key {damage.key!r}"
        location = f"{damage.path}{key}, offset {damage.offset}"
        out.line((printable(location), "bold"), f": {printable(damage.what)}")
    places = counted(len(damages), "place")
    out.line(("DAMAGED", "bold red"), f": {printable(prefix)}: {places}")
