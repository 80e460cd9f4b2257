"""The command line: `checkpointable ls | show | verify | diff | …` (docs/command-line.md).

    app.py            the program: its commands, errors and exit codes
    arguments.py      arguments and options that several commands have
    errors.py         the error of a command that cannot do what it was asked to
    commands/         one file per command
    formatting/       checkpoints, values, trees, … as text and as JSON; standard output; progress
    object_tree.py    an object graph as a tree with totals
    value_details.py  one value with statistics of its elements
    user_objects.py   imports and makes the objects of a program, for `explain`

Nothing else imports this package. Only this package imports typer and rich.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the program with the arguments of the process, and exits."""
    from checkpointable.cli.app import app

    app(prog_name="checkpointable")
