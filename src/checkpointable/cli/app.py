"""The program: its commands, and what becomes of errors.

Exit codes: 0 fine; 1 an error, or what was looked for is there: damage (`verify`), differences
(`diff`), values that would not be restored (`explain`); 2 wrong usage; 130 interrupted; 141
standard output was closed by its reader.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from checkpointable import __version__
from checkpointable.cli import (
    convert,
    diff,
    explain,
    ls,
    manifest,
    reencode,
    rename,
    repair,
    show,
    verify,
)
from checkpointable.cli.failing import CommandFailedError
from checkpointable.cli.text import printable
from checkpointable.common.logs import logger
from checkpointable.errors import CheckpointError

__all__ = ["app"]

_INTERRUPTED = 130  # as a shell reports SIGINT …
_BROKEN_PIPE = 141  # … and SIGPIPE


class _Group(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        # A terminal that knows less than Unicode shows escapes instead of failing.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        with _warnings_as_lines(), _errors_as_lines():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextmanager
def _errors_as_lines() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _discard_output()
        raise typer.Exit(_BROKEN_PIPE) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    except (CheckpointError, CommandFailedError, OSError) as error:
        _say("error", str(error))
        try:
            sys.stdout.flush()
        except OSError:  # it was standard output that failed: its disk is full, say
            _discard_output()
        raise typer.Exit(1) from None
    except MemoryError:
        _say("error", "there is not enough memory for this value")
        raise typer.Exit(1) from None


def _discard_output() -> None:
    """Lets the interpreter flush what is left without a complaint."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except OSError:  # standard output is no file
        pass


def _say(kind: str, message: str) -> None:
    typer.echo(f"{kind}: {printable(message)}", err=True)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _say(record.levelname.lower(), record.getMessage())


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """What the library logs (a state file that cannot be used, say) goes to standard error."""
    handler = _Lines(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


_HELP = """\
Looks into checkpoints, the files in which checkpointable and TensorFlow save programs.

PATH is a checkpoint's prefix (runs/a/ckpt-7), its .index file, or a directory, which stands
for its latest checkpoint (that of a SavedModel for its variables).

\b
  checkpointable ls runs/a
  checkpointable show runs/a
  checkpointable show runs/a model/layers/0/kernel
  checkpointable verify runs/a/ckpt-7
  checkpointable diff runs/a/ckpt-6 runs/a/ckpt-7
  checkpointable explain runs/a train:make_model
  checkpointable rename runs/a runs/b/ckpt-1 encoder/blocks=encoder/layers
  checkpointable reencode old/model.ckpt runs/b/ckpt-1
  checkpointable convert runs/a model.safetensors
  checkpointable repair runs/a
  checkpointable manifest runs/a/ckpt-7 --key-file key.pem

Exit codes: 0 fine; 1 an error, damage or differences found; 2 wrong usage.
"""

app = typer.Typer(
    cls=_Group,
    name="checkpointable",
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: quick, the same everywhere, "[x]" is no markup
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"checkpointable {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


for _command in (ls, show, verify, diff, explain, rename, reencode, convert, repair, manifest):
    app.command(_command.__name__.rpartition(".")[2], help=_command.HELP)(_command.run)
