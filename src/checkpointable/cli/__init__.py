"""The command line: `checkpointable ls | show | verify` (docs/command-line.md).

    app.py        the program: options, errors, exit codes
    ls.py, show.py, verify.py   one command each
    opening.py    from what the user types to an open checkpoint
    near.py       names that are near to one that is not there
    tree.py       the object graph as a tree, with totals; tree_text.py, tree_json.py show it
    value.py      one value and its statistics; value_text.py shows it
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
