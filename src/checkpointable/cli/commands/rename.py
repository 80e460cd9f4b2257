"""`checkpointable rename`: writes a checkpoint again with other paths."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.cli.arguments import (
    OverwriteOption,
    SourceArgument,
    TargetArgument,
    parse_renames,
    refuse_directory,
)
from checkpointable.cli.errors import value_errors_as_lines
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.progress import progress_bar
from checkpointable.cli.formatting.words import counted, printable
from checkpointable.maintenance.rename import plan_renaming, rename_checkpoint
from checkpointable.readers.reading import load_checkpoint

__all__ = ["HELP", "run"]

HELP = """\
Writes a checkpoint again with its paths renamed.

OLD=NEW means the same as in restore(renames=…): everything under OLD moves to NEW, including
slots. All renames apply at once (a=b b=a swaps); * stands for any characters within a segment;
the longest match wins. In a name-based checkpoint, names are renamed by whole segments.

Only the index and the object graph are written. The data files of OUT are hard links to those of
IN, or copies if the file system does not support links. You can delete IN afterwards. OUT must
not exist, unless you pass --overwrite. No state file is written.

Exit codes: 0 success; 1 an error, such as a rename that matches nothing, or two objects with the
same path; 2 invalid arguments.

\b
  checkpointable rename runs/a runs/b/ckpt-1 encoder/blocks=encoder/layers
  checkpointable rename runs/a runs/b/ckpt-1 'layer_*=blocks/*' --dry-run
"""


def run(
    source: SourceArgument,
    target: TargetArgument,
    renames: Annotated[
        list[str], typer.Argument(metavar="OLD=NEW", help="The old path and the new one.")
    ],
    overwrite: OverwriteOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print old and new keys, and write nothing.")
    ] = False,
) -> None:
    parsed = parse_renames(renames)
    with load_checkpoint(source) as reader, value_errors_as_lines():
        refuse_directory(target, reader.prefix)
        keys = plan_renaming(reader, parsed).keys
        if not dry_run:
            with progress_bar("rename") as progress:
                rename_checkpoint(
                    reader.prefix, target, parsed, overwrite=overwrite, progress=progress
                )
        total = len(reader)
    with Output() as out:
        if dry_run:
            for old, new in sorted(keys.items()):
                out.line(f"{printable(old)}\t{printable(new)}")
        else:
            out.line(
                f"{printable(target)}: {len(keys):,} of {counted(total, 'value')} under other keys"
            )
