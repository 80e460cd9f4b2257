"""Renames as they are typed, and checkpoints that are made of others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from checkpointable.cli.failing import CommandFailedError
from checkpointable.readers.reader import CheckpointReader
from checkpointable.storage import default_storage

__all__ = [
    "OverwriteOption",
    "SourceArgument",
    "TargetArgument",
    "check_is_prefix",
    "parse_renames",
    "refusals_as_lines",
]

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="IN", help="A prefix, an .index file, or a directory (its latest checkpoint)."
    ),
]
TargetArgument = Annotated[
    str, typer.Argument(metavar="OUT", help="The prefix to write, as runs/b/ckpt-1.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the checkpoint OUT, if there is one.")
]


def parse_renames(arguments: Iterable[str]) -> dict[str, str]:
    """{old: new} of arguments OLD=NEW.

    Raises:
      typer.BadParameter: an argument of another form, or the same path twice.
    """
    renames: dict[str, str] = {}
    for argument in arguments:
        old, _, new = argument.partition("=")
        if argument.count("=") != 1 or not old or not new:
            raise typer.BadParameter(
                f"{argument!r} is not of the form old=new (paths with a '=' of their own are for "
                "the function rename_checkpoint)"
            )
        if old in renames:
            raise typer.BadParameter(f"{old!r} is renamed twice")
        renames[old] = new
    return renames


def check_is_prefix(target: str, reader: CheckpointReader) -> None:
    """Checks that OUT is no directory, which someone who copies files would write."""
    if default_storage().is_directory(target) or not os.path.basename(target):
        example = os.path.join(target, os.path.basename(reader.prefix))
        raise CommandFailedError(f"{target} is a directory: write a prefix, as {example}")


@contextmanager
def refusals_as_lines() -> Iterator[None]:
    """Lets what a rename or a target makes impossible be one line."""
    try:
        yield
    except ValueError as error:
        raise CommandFailedError(str(error)) from None
