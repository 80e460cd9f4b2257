"""Imports and makes the objects of a program, for `explain`.

Errors in the user's code are shown with their traceback. Other errors, such as a wrong name, are
one line.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType, TracebackType
from typing import Any

import typer

from checkpointable.cli.errors import CommandFailedError
from checkpointable.common.suggestions import similar_names
from checkpointable.graph.registry import adapter_of
from checkpointable.manager.manager import CheckpointManager
from checkpointable.savers.checkpoint import Checkpoint
from checkpointable.savers.saver import CheckpointableSaver

__all__ = ["find_saver", "is_users_error", "show_traceback", "users_code"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@contextmanager
def users_code() -> Iterator[None]:
    """Puts the working directory first in `sys.path`, and redirects output to standard error.

    Standard output then contains only the result of the command.
    """
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:] = before


def find_saver(name: str) -> Checkpoint | CheckpointableSaver:
    """Returns the saver of the objects that `module:attribute…` is or returns.

    Args:
      name: `module:attribute`, where the attribute may have dots.

    Raises:
      typer.BadParameter: `name` has another form.
      CommandFailedError: There is no such module or attribute, its code raised, or it is not
        checkpointable.
    """
    module_name, colon, attributes = name.partition(":")
    if not (module_name and colon and attributes) or not all(attributes.split(".")):
        raise typer.BadParameter(f"{name!r} is not of the form module:function")
    obj: Any = _import(module_name)
    for position, attribute in enumerate(attributes.split(".")):
        above = ".".join([module_name, *attributes.split(".")[:position]])
        obj = _attribute(obj, attribute, above)
    if callable(obj) and not _is_usable(obj):
        obj = _call(obj, name)
        subject = f"the result of {name}() is"
    else:
        subject = f"{name} is"
    if isinstance(obj, CheckpointManager):
        obj = obj.checkpoint
    if isinstance(obj, (Checkpoint, CheckpointableSaver)):
        return obj
    if not _is_usable(obj):
        kind = "None" if obj is None else f"of type {type(obj).__name__}"
        raise CommandFailedError(
            f"{subject} {kind}: neither a Checkpoint nor a checkpointable object"
        )
    return CheckpointableSaver(obj)


def _is_usable(obj: Any) -> bool:
    savers = (Checkpoint, CheckpointableSaver, CheckpointManager)
    return isinstance(obj, savers) or adapter_of(obj) is not None


def _import(name: str) -> ModuleType:
    if name.endswith(".py") or os.sep in name:
        raise CommandFailedError(
            f"{name!r} is a file: pass the name of the module, as for `python -m`"
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{name}.".startswith(f"{missing}."):
            raise CommandFailedError(
                f"there is no module {missing!r} in {os.getcwd()} or elsewhere in sys.path"
            ) from None
        raise _failed(f"importing {name} failed", error) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code
        raise _failed(f"importing {name} failed", error) from None


def _attribute(obj: Any, attribute: str, path: str) -> Any:
    try:
        return getattr(obj, attribute)
    except AttributeError:
        similar = similar_names(attribute, (n for n in dir(obj) if not n.startswith("__")), 5)
        hint = f"; similar ones: {', '.join(similar)}" if similar else ""
        raise CommandFailedError(f"{path} has no {attribute!r}{hint}") from None
    except Exception as error:  # noqa: BLE001 - the user's code
        raise _failed(f"{path}.{attribute} failed", error) from None


def _call(function: Any, name: str) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise CommandFailedError(
            f"{name} needs arguments ({error}): pass a function that makes the objects without any"
        ) from None
    except ValueError:  # it has no signature
        pass
    try:
        return function()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code
        raise _failed(f"{name}() failed", error) from None


def _failed(summary: str, error: BaseException) -> CommandFailedError:
    """Shows the traceback of an error in the user's code; returns the error to raise instead."""
    if isinstance(error, SystemExit):
        return CommandFailedError(f"{summary}: it exited (SystemExit: {error.code})")
    show_traceback(error)
    return CommandFailedError(f"{summary}: {type(error).__name__}")


def show_traceback(error: BaseException) -> None:
    """Prints an error as Python does, from the first line of the user's code on."""
    trace = error.__traceback__
    while trace is not None and not _is_users(trace):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    typer.echo("".join(lines), err=True, nl=False)


def _is_users(trace: TracebackType) -> bool:
    file = trace.tb_frame.f_code.co_filename
    is_importing = file.startswith("<frozen importlib") or file == importlib.__file__
    return not (is_importing or os.path.abspath(file).startswith(_PACKAGE + os.sep))


def is_users_error(error: BaseException) -> bool:
    """Returns whether an error was raised outside this package."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and _is_users(trace)
