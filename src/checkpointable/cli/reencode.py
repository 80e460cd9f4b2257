"""`checkpointable reencode`: a name-based checkpoint with an object graph."""

from __future__ import annotations

from checkpointable.cli.opening import open_checkpoint
from checkpointable.cli.output import Output
from checkpointable.cli.progress import progress_bar
from checkpointable.cli.renames import (
    OverwriteOption,
    SourceArgument,
    TargetArgument,
    check_is_prefix,
    refusals_as_lines,
)
from checkpointable.cli.text import counted, printable
from checkpointable.maintenance.reencode import reencode_checkpoint

__all__ = ["HELP", "run"]

HELP = """\
Gives a name-based checkpoint an object graph.

OUT has the values of IN, each under an object whose path is its name: conv1/weights is the
object `weights` of the object `conv1`. What tf.train.Saver wrote can then be restored by
objects, looked at as a tree, and renamed to fit a program. Checkpoints of TensorFlow before
0.12 (V1) are taken too.

OUT must not exist, unless --overwrite is given. No state file is written.

Exit codes: 0 done; 1 an error, such as an object graph that is there already; 2 wrong usage.

\b
  checkpointable reencode model/final.ckpt-158301 runs/a/ckpt-1
"""


def run(source: SourceArgument, target: TargetArgument, overwrite: OverwriteOption = False) -> None:
    with open_checkpoint(source) as reader, refusals_as_lines():
        check_is_prefix(target, reader)
        count = len(reader)
        with progress_bar("reencode") as progress:
            reencode_checkpoint(reader.prefix, target, overwrite=overwrite, progress=progress)
    with Output() as out:
        out.line(f"{printable(target)}: {counted(count, 'value')} as objects")
