"""`checkpointable rename`: a checkpoint with other paths, for a program whose code was renamed."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.cli.opening import open_checkpoint
from checkpointable.cli.output import Output
from checkpointable.cli.progress import progress_bar
from checkpointable.cli.renames import (
    OverwriteOption,
    SourceArgument,
    TargetArgument,
    check_is_prefix,
    parse_renames,
    refusals_as_lines,
)
from checkpointable.cli.text import counted, printable
from checkpointable.maintenance.rename import plan_renaming, rename_checkpoint

__all__ = ["HELP", "run"]

HELP = """\
Writes a checkpoint again with its paths renamed.

OLD=NEW reads as in restore(renames=…): whatever lies under OLD moves to NEW, slots too. All
apply at once (a=b b=a swaps), * stands for any run of characters within a segment, and where
two match the longer one wins. Of a name-based checkpoint the names are renamed, by whole
segments.

Only the index and the object graph are written. The data files of OUT are those of IN under
a second name (or copies, where the file system has no such names); nothing is decoded, and
IN can be deleted. OUT must not exist, unless --overwrite is given. No state file is written.

Exit codes: 0 done; 1 an error, such as a rename that matches nothing or a path that is taken;
2 wrong usage.

\b
  checkpointable rename runs/a runs/b/ckpt-1 encoder/blocks=encoder/layers
  checkpointable rename runs/a runs/b/ckpt-1 'layer_*=blocks/*' --dry-run
"""


def run(
    source: SourceArgument,
    target: TargetArgument,
    renames: Annotated[list[str], typer.Argument(metavar="OLD=NEW", help="What to rename.")],
    overwrite: OverwriteOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; print old and new keys.")
    ] = False,
) -> None:
    wanted = parse_renames(renames)
    with open_checkpoint(source) as reader, refusals_as_lines():
        check_is_prefix(target, reader)
        keys = plan_renaming(reader, wanted).keys
        if not dry_run:
            with progress_bar("rename") as progress:
                rename_checkpoint(
                    reader.prefix, target, wanted, overwrite=overwrite, progress=progress
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
