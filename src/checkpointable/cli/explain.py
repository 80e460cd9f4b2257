"""`checkpointable explain`: what of a checkpoint a program would restore, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from checkpointable.cli.factory import find_saver, is_users_error, show_traceback, users_code
from checkpointable.cli.failing import CommandFailedError
from checkpointable.cli.opening import JsonOption, PathArgument, open_checkpoint
from checkpointable.cli.output import Output, write_json
from checkpointable.cli.renames import parse_renames
from checkpointable.cli.text import printable
from checkpointable.cli.tree import find_object
from checkpointable.errors import CheckpointError
from checkpointable.graph.object_graph import NodePaths
from checkpointable.graph.renames import rename_graph
from checkpointable.graph.stored import stored_graph
from checkpointable.report import Outcome, Report, ReportEntry
from checkpointable.savers.checkpoint import Checkpoint

if TYPE_CHECKING:
    from checkpointable.savers.saver import CheckpointableSaver

__all__ = ["HELP", "run"]

HELP = """\
Says what a program would restore of a checkpoint.

What matches, what does not, on which side, and why.

MODULE:FUNCTION makes the program's objects: a function without arguments (or a class) that
returns a cp.Checkpoint, or the root object itself; an object that exists will do as well.
Modules are found as `python -m` finds them, in the working directory first. Nothing is
restored: no value is read or assigned.

On a terminal the result is a tree, elsewhere a table. Values without a counterpart name the
likeliest one; renames that follow are printed as restore takes them, ready to be tried with
--rename.

Exit codes: 0 everything would be restored; 1 not everything, or an error; 2 wrong usage.

\b
  checkpointable explain runs/a train:make_model
  checkpointable explain runs/a package.train:experiment.checkpoint --problems
  checkpointable explain runs/a train:make_model --rename encoder/blocks=encoder/layers
"""


def run(
    path: PathArgument,
    target: Annotated[
        str, typer.Argument(metavar="MODULE:FUNCTION", help="What makes the objects, or is them.")
    ],
    renames: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="Read this path of the checkpoint as another; may be given several times.",
        ),
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="Leave out what would be restored.")
    ] = False,
    json: JsonOption = False,
) -> None:
    given = parse_renames(renames or [])
    with open_checkpoint(path) as reader:
        path = reader.prefix  # it is there: say so before the user's program is loaded
    with users_code():
        saver = find_saver(target)
        report = _plan(saver, path, given, target)
        report, after = _try_suggestions(saver, path, given, report)
    complete = report.complete
    counts = report.counts
    if problems:
        report.entries = [e for e in report.entries if e.outcome is not Outcome.RESTORED]
    if json:
        document = report.to_dict() | {"counts": counts, "complete": complete}
        write_json(document | {"counts_with_renames": after})
    else:
        _print(report, counts, after)
    if not complete:
        raise typer.Exit(1)


def _plan(
    saver: Checkpoint | CheckpointableSaver, path: str, renames: Mapping[str, str], target: str
) -> Report:
    try:
        return saver.plan(path, renames=renames or None)
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's classes may raise anything
        if is_users_error(error):  # in a hook of one of the user's classes
            show_traceback(error)
            raise CommandFailedError(
                f"the objects of {target} failed: {type(error).__name__}"
            ) from None
        raise CommandFailedError(str(error)) from None


def _try_suggestions(
    saver: Checkpoint | CheckpointableSaver, path: str, given: Mapping[str, str], report: Report
) -> tuple[Report, dict[str, int] | None]:
    """The report with renames that take the given ones in, and what they would come to."""
    if not report.renames:
        return report, None
    merged = _merged(path, given, report.renames) if given else report.renames
    after = _counts(saver, path, merged)
    if after is None:  # they get in one another's way: the table still says what is likely
        return replace(report, renames={}), None
    for old in given:  # what was tried may be of no use beside the others
        fewer = {source: new for source, new in merged.items() if source != old}
        if _counts(saver, path, fewer) == after:
            merged = fewer
    return replace(report, renames=merged), after


def _counts(
    saver: Checkpoint | CheckpointableSaver, path: str, renames: Mapping[str, str]
) -> dict[str, int] | None:
    """What these renames would come to; None if they cannot be."""
    try:
        return saver.plan(path, renames=renames).counts
    except ValueError:
        return None


def _merged(path: str, given: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """`more`, whose paths are those after `given`, as one set of renames with it."""
    with open_checkpoint(path) as reader:
        graph = stored_graph(reader)
    renamed = rename_graph(graph, given)
    paths = NodePaths(graph)
    merged = dict(given)
    for old, new in more.items():
        node_id = find_object(renamed, old, named=False)
        if node_id is not None and node_id < len(graph.nodes):
            merged[paths[node_id]] = new
    return merged


def _print(report: Report, counts: dict[str, int], after: dict[str, int] | None) -> None:
    with Output() as out:
        shown = _printable(report)
        if out.terminal:
            out.render(shown)
        else:
            for line in str(shown).splitlines():
                out.line(line)
        if len(report.entries) < sum(counts.values()):
            out.line(f"not shown: {counts[Outcome.RESTORED.value]:,} restored")
        if after is not None:
            out.line(f"with these renames: {', '.join(f'{n} {what}' for what, n in after.items())}")


def _printable(report: Report) -> Report:
    """The report with names that no terminal minds."""

    def entry(e: ReportEntry) -> ReportEntry:
        return replace(
            e,
            path=printable(e.path),
            attribute=printable(e.attribute),
            candidate=None if e.candidate is None else printable(e.candidate),
            candidates=[*map(printable, e.candidates)],
            note=printable(e.note),
        )

    return replace(
        report,
        checkpoint=printable(report.checkpoint),
        entries=[*map(entry, report.entries)],
        notes=[*map(printable, report.notes)],
    )
