"""`checkpointable convert`: converts between checkpoints and files of tensors."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.cli.formatting.progress import progress_bar
from checkpointable.cli.formatting.words import bytes_text, counted, printable
from checkpointable.common.deprecation import RELEASE_WITHOUT_OLD_SPELLINGS
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.maintenance.convert import from_tensors, to_safetensors
from checkpointable.readers.reading import load_checkpoint

__all__ = ["HELP", "run"]

HELP = """\
Converts between checkpoints and files of tensors.

To safetensors: SOURCE is a checkpoint (a prefix, an .index file, a directory), TARGET a
.safetensors file. Optimizer slots and Python state are left out, because the format cannot store
them. A tied weight is written once.

From a file of tensors: SOURCE is a .safetensors file, its .safetensors.index.json, or a state
dict of torch.save; TARGET is a checkpoint prefix. A file with one state dict is stored under
'model'; several state dicts ({"model": ..., "ema": ...}) are stored under their names. Optimizer
state is left out, because it is stored by position.

An existing TARGET is an error, unless you pass --overwrite.

Exit codes: 0 success; 1 an error, and nothing was written; 2 invalid arguments.

\b
  checkpointable convert runs/a/ckpt-7 model.safetensors
  checkpointable convert runs/a/ckpt-7 ema.safetensors --module ema/module
  checkpointable convert model.safetensors runs/b/ckpt-0
  checkpointable convert model.pt runs/b/ckpt-0 --module generator
"""


def run(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The checkpoint or file of tensors to read.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="The .safetensors file or checkpoint prefix to write."
        ),
    ],
    module: Annotated[
        str | None,
        typer.Option(
            "--module",
            metavar="PATH",
            help="Path of the module in the checkpoint. By default: to safetensors, all values "
            "with a global name; from a file of tensors, 'model', or the names of its state dicts.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace TARGET if it exists.")
    ] = False,
    prefix: Annotated[str | None, typer.Option("--prefix", hidden=True)] = None,
) -> None:
    if prefix is not None:
        if module is not None:
            raise typer.BadParameter("--prefix is the old name of --module; pass --module only")
        typer.echo(
            "warning: --prefix is deprecated and will be removed in checkpointable "
            f"{RELEASE_WITHOUT_OLD_SPELLINGS}; use --module",
            err=True,
        )
        module = prefix
    to_file = target.endswith(".safetensors")
    with load_checkpoint(source) as reader, progress_bar("convert") as progress:
        from_file = reader.kind == "tensors"
        if from_file and to_file:
            raise CheckpointUnsupportedError(
                f"{source} and {target} are both files of tensors; one must be a checkpoint"
            )
        if not from_file and not to_file:
            raise CheckpointUnsupportedError(
                f"{source} is a checkpoint, so TARGET must be a .safetensors file, not {target}"
            )
        convert = to_safetensors if to_file else from_tensors
        converted = convert(reader, target, module, progress, overwrite=overwrite)
    values, size = counted(converted.values, "value"), bytes_text(converted.size)
    typer.echo(f"{printable(target)}: {values}, {size}")
    left_out = converted.left_out
    if left_out:
        shown = ", ".join(map(printable, left_out[:3])) + (", …" if len(left_out) > 3 else "")
        typer.echo(f"left out: {counted(len(left_out), 'value')} ({shown})", err=True)
