"""The user's objects, from `module:factory`: imported, found, called.

What goes wrong in the user's code is shown with its traceback, since it is the user's to
mend; what goes wrong on the way to it is one line.
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

from checkpointable.cli.failing import CommandFailedError
from checkpointable.common.suggestions import similar_names
from checkpointable.graph.registry import adapter_of
from checkpointable.manager.manager import CheckpointManager
from checkpointable.savers.checkpoint import Checkpoint
from checkpointable.savers.saver import CheckpointableSaver

__all__ = ["find_saver", "users_code"]

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@contextmanager
def users_code() -> Iterator[None]:
    """What the user's code finds: the working directory first among the places of modules.

    What it prints goes to standard error, so that standard output holds the result alone.
    """
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:] = before


def find_saver(name: str) -> Checkpoint | CheckpointableSaver:
    """What saves and restores the objects that `module:attribute…` names or makes.

    Raises:
      typer.BadParameter: it is not of that form.
      CommandFailedError: there is no such thing, or it failed, or is of no use.
    """
    module_name, colon, attributes = name.partition(":")
    if not (module_name and colon and attributes) or not all(attributes.split(".")):
        raise typer.BadParameter(f"{name!r} is not of the form module:function")
    found: Any = _import(module_name)
    for position, attribute in enumerate(attributes.split(".")):
        above = ".".join([module_name, *attributes.split(".")[:position]])
        found = _attribute(found, attribute, above)
    if callable(found) and not _is_of_use(found):
        found = _call(found, name)
        what = f"what {name}() returned is"
    else:
        what = f"{name} is"
    if isinstance(found, CheckpointManager):
        found = found.checkpoint
    if isinstance(found, (Checkpoint, CheckpointableSaver)):
        return found
    if not _is_of_use(found):
        kind = "None" if found is None else f"of type {type(found).__name__}"
        raise CommandFailedError(
            f"{what} {kind}: neither a Checkpoint nor an object that takes part in checkpointing"
        )
    return CheckpointableSaver(found)


def _is_of_use(obj: Any) -> bool:
    saves = (Checkpoint, CheckpointableSaver, CheckpointManager)
    return isinstance(obj, saves) or adapter_of(obj) is not None


def _import(name: str) -> ModuleType:
    if name.endswith(".py") or os.sep in name:
        raise CommandFailedError(
            f"{name!r} is a file: write the module's name, as `python -m` takes it"
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{name}.".startswith(f"{missing}."):
            raise CommandFailedError(
                f"there is no module {missing!r}, neither in {os.getcwd()} nor where Python looks"
            ) from None
        raise _failed(f"importing {name} failed", error) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code
        raise _failed(f"importing {name} failed", error) from None


def _attribute(obj: Any, attribute: str, path: str) -> Any:
    try:
        return getattr(obj, attribute)
    except AttributeError:
        near = similar_names(attribute, (n for n in dir(obj) if not n.startswith("__")), 5)
        hint = f"; similar ones: {', '.join(near)}" if near else ""
        raise CommandFailedError(f"{path} has no {attribute!r}{hint}") from None
    except Exception as error:  # noqa: BLE001 - the user's code
        raise _failed(f"{path}.{attribute} failed", error) from None


def _call(function: Any, name: str) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise CommandFailedError(
            f"{name} needs arguments ({error}): name a function that makes the objects without"
        ) from None
    except ValueError:  # it does not say which it takes
        pass
    try:
        return function()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code
        raise _failed(f"{name}() failed", error) from None


def _failed(what: str, error: BaseException) -> CommandFailedError:
    """The error to raise for one of the user's, whose traceback is shown here."""
    if isinstance(error, SystemExit):
        return CommandFailedError(f"{what}: it ended the program (SystemExit: {error.code})")
    show_traceback(error)
    return CommandFailedError(f"{what}: {type(error).__name__}")


def show_traceback(error: BaseException) -> None:
    """Prints an error as Python does, from the user's first line on."""
    trace = error.__traceback__
    while trace is not None and not _is_users(trace):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    typer.echo("".join(lines), err=True, nl=False)


def _is_users(trace: TracebackType) -> bool:
    file = trace.tb_frame.f_code.co_filename
    is_importing = file.startswith("<frozen importlib") or file == importlib.__file__
    return not (is_importing or os.path.abspath(file).startswith(_OWN + os.sep))


def is_users_error(error: BaseException) -> bool:
    """Whether an error was raised in code that is not ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and _is_users(trace)
