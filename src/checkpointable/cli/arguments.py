"""Arguments and options that several commands have."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated

import typer

from checkpointable.cli.errors import CommandFailedError
from checkpointable.storage import default_storage

__all__ = [
    "CheckpointArgument",
    "JsonOption",
    "OverwriteOption",
    "PathArgument",
    "SourceArgument",
    "TargetArgument",
    "parse_renames",
    "refuse_directory",
]

PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="A checkpoint prefix, an .index file, a directory (its latest checkpoint), or a "
        "file of tensors (.safetensors, torch.save).",
    ),
]
CheckpointArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="A checkpoint prefix, an .index file, or a directory (its latest checkpoint).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON (docs/command-line.md).")]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="IN",
        help="A checkpoint prefix, an .index file, or a directory (its latest checkpoint).",
    ),
]
TargetArgument = Annotated[
    str,
    typer.Argument(metavar="OUT", help="The checkpoint prefix to write, such as runs/b/ckpt-1."),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the checkpoint OUT if it exists.")
]


def parse_renames(arguments: Iterable[str]) -> dict[str, str]:
    """Returns {old: new} for arguments OLD=NEW.

    Raises:
      typer.BadParameter: An argument has another form, or two have the same old path.
    """
    renames: dict[str, str] = {}
    for argument in arguments:
        old, _, new = argument.partition("=")
        if argument.count("=") != 1 or not old or not new:
            raise typer.BadParameter(
                f"{argument!r} is not of the form old=new (for paths that contain '=', call "
                "rename_checkpoint from Python)"
            )
        if old in renames:
            raise typer.BadParameter(f"{old!r} is renamed twice")
        renames[old] = new
    return renames


def refuse_directory(target: str, source: str) -> None:
    """Checks that OUT is not a directory, which users of `cp` would pass.

    Args:
      target: OUT.
      source: The checkpoint prefix IN, for the example in the message.

    Raises:
      CommandFailedError: It is a directory.
    """
    if default_storage().is_directory(target) or not os.path.basename(target):
        example = os.path.join(target, os.path.basename(source))
        raise CommandFailedError(
            f"{target} is a directory: pass a checkpoint prefix, such as {example}"
        )
