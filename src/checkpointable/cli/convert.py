"""`checkpointable convert`: between checkpoints and files of tensors."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.cli.progress import progress_bar
from checkpointable.cli.text import bytes_text, counted, printable
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.maintenance.convert import from_tensors, to_safetensors
from checkpointable.readers.reading import load_checkpoint

__all__ = ["HELP", "run"]

HELP = """\
Converts a checkpoint to a .safetensors file, or a file of tensors to a checkpoint.

SOURCE is a checkpoint (a prefix, an .index file, a directory) and TARGET a .safetensors file;
or SOURCE is a .safetensors file, its .safetensors.index.json, or a state dict that torch.save
wrote, and TARGET a checkpoint's prefix. Optimizer slots and Python state have no place in
safetensors and are left out. Of a file that holds several state dicts each goes by its own name
({"model": ..., "ema": ...}), the only one to 'model'; optimizers' states, which go by position, are
left out.

What TARGET names already stays, unless --overwrite is given.

Exit codes: 0 done; 1 an error, and nothing was written; 2 wrong usage.

\b
  checkpointable convert runs/a/ckpt-7 model.safetensors
  checkpointable convert runs/a/ckpt-7 ema.safetensors --prefix ema/module
  checkpointable convert model.safetensors runs/b/ckpt-0
  checkpointable convert model.pt runs/b/ckpt-0 --prefix generator
"""


def run(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="What to convert.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="What to write.")],
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix",
            help="Path of the module in the checkpoint. To safetensors: by default all values "
            "that have a global name; from it: 'model', or below which several state dicts go.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what TARGET names already.")
    ] = False,
) -> None:
    to_file = target.endswith(".safetensors")
    with load_checkpoint(source) as reader, progress_bar("convert") as progress:
        from_file = reader.kind == "tensors"
        if from_file and to_file:
            raise CheckpointUnsupportedError(
                f"{source} and {target} are both files of tensors; one side is a checkpoint"
            )
        if not from_file and not to_file:
            raise CheckpointUnsupportedError(
                f"{source} is no file of tensors, and {target} no .safetensors file: nothing to "
                "convert between"
            )
        convert = to_safetensors if to_file else from_tensors
        done = convert(reader, target, prefix, progress, overwrite=overwrite)
    typer.echo(f"{printable(target)}: {counted(done.values, 'value')}, {bytes_text(done.size)}")
    if done.left_out:
        shown = ", ".join(printable(key) for key in done.left_out[:3])
        more = ", …" if len(done.left_out) > 3 else ""
        typer.echo(f"left out: {counted(len(done.left_out), 'value')} ({shown}{more})", err=True)
