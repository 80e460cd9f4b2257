"""`checkpointable verify`: every checksum of a checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.bundle import Damage
from checkpointable.cli.directory_text import inspection_as_json, print_inspection
from checkpointable.cli.manifest_text import manifest_as_json, print_problem, signature_text
from checkpointable.cli.opening import JsonOption, PathArgument, named_prefix
from checkpointable.cli.output import Output, write_json
from checkpointable.cli.progress import progress_bar
from checkpointable.cli.text import bytes_text, counted, printable
from checkpointable.directory.latest import latest_checkpoint
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.maintenance.judged_manifests import Judged, look_at_manifest
from checkpointable.maintenance.repair import inspect_directory
from checkpointable.readers.opening import open_stored
from checkpointable.readers.reader import CheckpointReader

__all__ = ["HELP", "run"]

HELP = """\
Reads every byte of a checkpoint and compares all checksums.

Prints "OK" with the number of values and bytes, or each damage with file, key and offset. If
there is a manifest, the files are compared with that too ("checkpointable manifest --verify" with
a key says who signed it).

A directory stands for the checkpoint that its state file names, whole or not.

Exit codes: 0 whole; 1 damaged, or not to be read at all (no such checkpoint, no permission);
2 wrong usage.

\b
  checkpointable verify runs/a
  checkpointable verify runs/a/ckpt-7 --json
  checkpointable verify --all runs/a
"""


AllOption = Annotated[
    bool, typer.Option("--all", help="Every checkpoint of the directory PATH, and its state file.")
]


def run(path: PathArgument, all_: AllOption = False, json: JsonOption = False) -> None:
    if all_:
        _run_all(path, json)
        return
    prefix, values, size = path, 0, 0

    def find(named: str) -> str:
        nonlocal prefix
        prefix = named_prefix(named)
        return prefix

    try:
        with open_stored(path, damaged=True, find=find) as reader:
            if not reader.has_checksums:
                raise CheckpointUnsupportedError(
                    "this is a file of tensors: it has no checksums, so nothing can be verified",
                    path=path,
                )
            values = len(reader)
            with progress_bar("verify") as progress:

                def advance(done: int, total: int, key: str) -> None:
                    nonlocal size
                    size = done
                    progress(done, total, key)

                damages = reader.verify(advance)
            damages += _graph_damage(reader, damages)
    except CheckpointCorruptError as error:  # the index itself: nothing else can be checked
        damages = [_as_damage(error, prefix)]
    judged = look_at_manifest(prefix)
    holds = judged is None or judged.holds
    if json:
        write_json(
            {
                "checkpoint": prefix,
                "ok": not damages and holds,
                "values": values,
                "bytes": size,
                "damage": [damage._asdict() for damage in damages],
                "manifest": manifest_as_json(judged),
            }
        )
    else:
        _print(prefix, values, size, damages, judged)
    if damages or not holds:
        raise typer.Exit(1)


def _run_all(directory: str, json: bool) -> None:
    with progress_bar("verify") as progress:
        found = inspect_directory(directory, progress)
    if not found.checkpoints and found.problem is None and latest_checkpoint(directory) is None:
        raise CheckpointNotFoundError("the directory contains no checkpoint", path=directory)
    document = inspection_as_json(found)
    if json:
        write_json(document)
    else:
        with Output() as out:
            print_inspection(out, found)
    if not document["ok"]:
        raise typer.Exit(1)


def _print(
    prefix: str, values: int, size: int, damages: list[Damage], judged: Judged | None
) -> None:
    with Output() as out:
        if not damages:
            out.line(("OK", "bold green"), f": {counted(values, 'value')}, {bytes_text(size)}")
            if judged is not None and judged.manifest is not None and judged.holds:
                signed = signature_text(judged.manifest, verified=False)
                out.line(("OK", "bold green"), f": the manifest: {signed}")
            print_problem(out, judged)
            return
        for damage in damages:
            key = "" if damage.key is None else f", key {damage.key!r}"
            where = f"{damage.path}{key}, offset {damage.offset}"
            out.line((printable(where), "bold"), f": {printable(damage.what)}")
        out.line(
            ("DAMAGED", "bold red"),
            f": {printable(prefix)}: {counted(len(damages), 'place')}",
        )
        print_problem(out, judged)


def _graph_damage(reader: CheckpointReader, known: list[Damage]) -> list[Damage]:
    """What is wrong with the object graph although its checksum holds."""
    if any(d.key == GRAPH_KEY or d.key is None for d in known):
        return []
    try:
        reader.graph()
    except CheckpointCorruptError as error:
        return [_as_damage(error, reader.prefix)]
    return []


def _as_damage(error: CheckpointCorruptError, prefix: str) -> Damage:
    return Damage(error.path or prefix, error.key, error.offset or 0, error.what)
