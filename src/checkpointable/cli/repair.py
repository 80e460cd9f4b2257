"""`checkpointable repair`: the state file names what is whole again."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.cli.directory_text import inspection_as_json, print_inspection
from checkpointable.cli.opening import JsonOption
from checkpointable.cli.output import Output, write_json
from checkpointable.cli.progress import progress_bar
from checkpointable.cli.text import printable
from checkpointable.maintenance.repair import repair_directory

__all__ = ["HELP", "run"]

HELP = """\
Reads all checkpoints of a directory and makes the state file name what is whole.

The latest checkpoint stays what it is if it is whole; else it is the newest that is. Nothing
is deleted, unless --delete is given: then damaged checkpoints, and what broken-off saves and
deletions have left. Where nothing is whole, nothing is changed.

Exit codes: 0 the state file names a whole checkpoint; 1 nothing is whole; 2 wrong usage.

\b
  checkpointable repair runs/a
  checkpointable repair runs/a --delete
"""

DirectoryArgument = Annotated[
    str, typer.Argument(metavar="DIR", help="A directory with checkpoints.")
]
DeleteOption = Annotated[
    bool, typer.Option("--delete", help="Delete damaged checkpoints and what was left over.")
]


def run(
    directory: DirectoryArgument, delete: DeleteOption = False, json: JsonOption = False
) -> None:
    with progress_bar("repair") as progress:
        done = repair_directory(directory, delete=delete, progress=progress)
    if json:
        write_json(
            {
                **inspection_as_json(done.found),
                "latest": done.latest,
                "rewritten": done.rewritten,
                "deleted": done.deleted,
            }
        )
    else:
        with Output() as out:
            print_inspection(out, done.found)
            for path in done.deleted:
                out.line(("deleted", "bold"), f": {printable(path)}")
            if done.latest is None:
                out.line("nothing here is whole; nothing was changed")
            else:
                verb = "now names" if done.rewritten else "names"
                out.line(f"the state file {verb} {printable(done.latest)}")
    if done.latest is None:
        raise typer.Exit(1)
