"""`checkpointable reencode`: gives a name-based checkpoint an object graph."""

from __future__ import annotations

from checkpointable.cli.arguments import (
    OverwriteOption,
    SourceArgument,
    TargetArgument,
    refuse_directory,
)
from checkpointable.cli.errors import value_errors_as_lines
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.progress import progress_bar
from checkpointable.cli.formatting.words import counted, printable
from checkpointable.maintenance.reencode import reencode_checkpoint
from checkpointable.readers.reading import load_checkpoint

__all__ = ["HELP", "run"]

HELP = """\
Gives a name-based checkpoint an object graph.

OUT has the values of IN. The name of each value becomes the path of an object: conv1/weights is
the object `weights` of the object `conv1`. You can then restore a checkpoint of tf.train.Saver
into objects, show it as a tree, and rename its paths to fit a program. IN may be a checkpoint of
TensorFlow before 0.12 (V1).

OUT must not exist, unless you pass --overwrite. No state file is written.

Exit codes: 0 success; 1 an error, such as an existing object graph; 2 invalid arguments.

\b
  checkpointable reencode model/final.ckpt-158301 runs/a/ckpt-1
"""


def run(source: SourceArgument, target: TargetArgument, overwrite: OverwriteOption = False) -> None:
    with load_checkpoint(source) as reader, value_errors_as_lines():
        refuse_directory(target, reader.prefix)
        count = len(reader)
        with progress_bar("reencode") as progress:
            reencode_checkpoint(reader.prefix, target, overwrite=overwrite, progress=progress)
    with Output() as out:
        out.line(f"{printable(target)}: {counted(count, 'value')} as objects")
