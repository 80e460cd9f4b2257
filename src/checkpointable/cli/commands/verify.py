"""`checkpointable verify`: verifies every checksum of a checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.bundle import Damage
from checkpointable.cli.arguments import CheckpointArgument, JsonOption
from checkpointable.cli.formatting.inspection import (
    inspection_as_json,
    print_damages,
    print_inspection,
)
from checkpointable.cli.formatting.json_output import write_json
from checkpointable.cli.formatting.manifest import manifest_as_json, print_problem, signature_text
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.progress import progress_bar
from checkpointable.cli.formatting.words import bytes_text, counted
from checkpointable.directory.latest import latest_checkpoint
from checkpointable.directory.prefixes import checkpoint_prefix
from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.maintenance.inspection import inspect_directory
from checkpointable.maintenance.manifest_checks import ManifestCheck, check_manifest_if_any
from checkpointable.readers.opening import open_stored
from checkpointable.readers.reader import CheckpointReader

__all__ = ["HELP", "run"]

HELP = """\
Reads every byte of a checkpoint and verifies all checksums.

Prints "OK" with the number of values and bytes, or each damage with file, key and offset. If the
checkpoint has a manifest, the files are compared with it too. (To verify who signed it, run
"checkpointable manifest --verify" with a trusted key.)

A directory stands for the checkpoint that its state file names, whole or not.

Exit codes: 0 whole; 1 damaged, or an error (no such checkpoint, no permission); 2 invalid
arguments.

\b
  checkpointable verify runs/a
  checkpointable verify runs/a/ckpt-7 --json
  checkpointable verify --all runs/a
"""

AllOption = Annotated[
    bool,
    typer.Option(
        "--all", help="Verify every checkpoint of the directory PATH, and its state file."
    ),
]


def run(path: CheckpointArgument, all_: AllOption = False, json: JsonOption = False) -> None:
    if all_:
        _run_all(path, json)
        return
    prefix, values, size = path, 0, 0

    def find(given: str) -> str:
        nonlocal prefix
        prefix = checkpoint_prefix(given, damaged=True)
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
    except CheckpointCorruptError as error:  # the index is damaged: nothing else can be verified
        damages = [_as_damage(error, prefix)]
    check = check_manifest_if_any(prefix)
    ok = not damages and (check is None or check.ok)
    if json:
        write_json(
            {
                "checkpoint": prefix,
                "ok": ok,
                "values": values,
                "bytes": size,
                "damage": [damage._asdict() for damage in damages],
                "manifest": manifest_as_json(check),
            }
        )
    else:
        _print(prefix, values, size, damages, check)
    if not ok:
        raise typer.Exit(1)


def _run_all(directory: str, json: bool) -> None:
    with progress_bar("verify") as progress:
        inspection = inspect_directory(directory, progress)
    is_empty = not inspection.checkpoints and inspection.problem is None
    # A checkpoint that was saved since the inspection is not an error.
    if is_empty and latest_checkpoint(directory) is None:
        raise CheckpointNotFoundError("the directory contains no checkpoint", path=directory)
    if json:
        write_json(inspection_as_json(inspection))
    else:
        with Output() as out:
            print_inspection(out, inspection)
    if not inspection.ok:
        raise typer.Exit(1)


def _print(
    prefix: str, values: int, size: int, damages: list[Damage], check: ManifestCheck | None
) -> None:
    with Output() as out:
        if damages:
            print_damages(out, prefix, damages)
        else:
            out.line(("OK", "bold green"), f": {counted(values, 'value')}, {bytes_text(size)}")
            if check is not None and check.manifest is not None and check.ok:
                signature = signature_text(check.manifest, verified=False)
                out.line(("OK", "bold green"), f": the manifest: {signature}")
        print_problem(out, check)


def _graph_damage(reader: CheckpointReader, known: list[Damage]) -> list[Damage]:
    """Returns damage of an object graph whose checksum matches."""
    if any(d.key == GRAPH_KEY or d.key is None for d in known):
        return []
    try:
        reader.graph()
    except CheckpointCorruptError as error:
        return [_as_damage(error, reader.prefix)]
    return []


def _as_damage(error: CheckpointCorruptError, prefix: str) -> Damage:
    return Damage(error.path or prefix, error.key, error.offset or 0, error.what)
