"""The command line: `checkpointable ls | show | verify | diff | …` (docs/command-line.md).

    app.py        the program: options, errors, exit codes
    ls.py, show.py, verify.py, diff.py, explain.py, rename.py, reencode.py,
    repair.py     one command each
    opening.py    from what the user types to an open checkpoint
    near.py       names that are near to one that is not there
    tree.py       the object graph as a tree, with totals; tree_text.py, tree_json.py show it
    value.py      one value and its statistics; value_text.py shows it
    difference_text.py   one difference as text and as JSON
    directory_text.py   what lies in a directory, as text and as JSON
    factory.py    the user's objects, for explain
    renames.py    renames as they are typed; checkpoints that are made of others
    failing.py    how a command ends that cannot do what it was asked
    progress.py   a progress bar
    text.py       names, numbers and sizes as text
    output.py     standard output: lines, colours, JSON

Nothing else imports this package, and it alone imports typer and rich.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the program with the arguments of the process, and exits."""
    from checkpointable.cli.app import app

    app(prog_name="checkpointable")
