"""`checkpointable repair`: makes the state file name a whole checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.cli.arguments import JsonOption
from checkpointable.cli.formatting.inspection import inspection_as_json, print_inspection
from checkpointable.cli.formatting.json_output import write_json
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.progress import progress_bar
from checkpointable.cli.formatting.words import printable
from checkpointable.maintenance.repair import repair_directory

__all__ = ["HELP", "run"]

HELP = """\
Makes the state file of a directory name a whole checkpoint.

Every byte of every checkpoint is read. The latest checkpoint stays the latest if it is whole.
Otherwise the newest whole one becomes the latest. If none is whole, nothing is changed. With
--delete, damaged checkpoints and the remains of interrupted saves and deletions are deleted;
otherwise nothing is.

Exit codes: 0 the state file names a whole checkpoint; 1 no checkpoint is whole, or an error;
2 invalid arguments.

\b
  checkpointable repair runs/a
  checkpointable repair runs/a --delete
"""

DirectoryArgument = Annotated[
    str, typer.Argument(metavar="DIR", help="A directory of checkpoints.")
]
DeleteOption = Annotated[
    bool, typer.Option("--delete", help="Delete damaged checkpoints and left-over files.")
]


def run(
    directory: DirectoryArgument, delete: DeleteOption = False, json: JsonOption = False
) -> None:
    with progress_bar("repair") as progress:
        repair = repair_directory(directory, delete=delete, progress=progress)
    if json:
        write_json(
            {
                **inspection_as_json(repair.inspection),
                "latest": repair.latest,
                "rewritten": repair.rewritten,
                "deleted": repair.deleted,
            }
        )
    else:
        with Output() as out:
            print_inspection(out, repair.inspection)
            for path in repair.deleted:
                out.line(("deleted", "bold"), f": {printable(path)}")
            if repair.latest is None:
                out.line("no checkpoint is whole; nothing was changed")
            else:
                verb = "now names" if repair.rewritten else "names"
                out.line(f"the state file {verb} {printable(repair.latest)}")
    if repair.latest is None:
        raise typer.Exit(1)
