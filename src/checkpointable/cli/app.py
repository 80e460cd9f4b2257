"""The program: its commands, errors and exit codes.

Exit codes: 0 success; 1 an error, or damage (`verify`), differences (`diff`), values that would
not be restored (`explain`); 2 invalid arguments; 130 interrupted; 141 the reader of standard
output closed it.
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
from checkpointable.cli.commands import (
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
from checkpointable.cli.errors import CommandFailedError
from checkpointable.cli.formatting.words import printable
from checkpointable.common.logs import logger
from checkpointable.errors import CheckpointError

__all__ = ["app"]

# The exit codes with which shells report SIGINT and SIGPIPE.
_INTERRUPTED = 130
_BROKEN_PIPE = 141


class _Group(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        # A terminal without Unicode shows escapes; otherwise writing to it would fail.
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
        _print_line("error", str(error))
        try:
            sys.stdout.flush()
        except OSError:  # standard output itself failed, for example on a full disk
            _discard_output()
        raise typer.Exit(1) from None
    except MemoryError:
        _print_line("error", "there is not enough memory for this value")
        raise typer.Exit(1) from None


def _discard_output() -> None:
    """Redirects standard output, so that the interpreter can flush it without an error."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except OSError:  # standard output is not a file
        pass


def _print_line(kind: str, message: str) -> None:
    typer.echo(f"{kind}: {printable(message)}", err=True)


class _LineHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _print_line(record.levelname.lower(), record.getMessage())


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Prints warnings that the library logs, such as an unusable state file, as lines."""
    handler = _LineHandler(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


_HELP = """\
Inspects and converts checkpoints of checkpointable and TensorFlow.

PATH is a checkpoint prefix (runs/a/ckpt-7), its .index file, or a directory, which stands for
its latest checkpoint (the directory of a SavedModel for its variables).

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

Exit codes: 0 success; 1 an error, damage or differences; 2 invalid arguments.
"""

app = typer.Typer(
    cls=_Group,
    name="checkpointable",
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain text is quick, and leaves "[x]" as it is
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
