"""`checkpointable explain`: the values that a program would restore from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from checkpointable.cli.arguments import JsonOption, PathArgument, parse_renames
from checkpointable.cli.errors import CommandFailedError
from checkpointable.cli.formatting.json_output import write_json
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.words import printable
from checkpointable.cli.object_tree import find_object
from checkpointable.cli.user_objects import find_saver, is_users_error, show_traceback, users_code
from checkpointable.errors import CheckpointError
from checkpointable.graph.object_graph import NodePaths
from checkpointable.graph.renames import rename_graph
from checkpointable.graph.stored import stored_graph
from checkpointable.readers.reading import load_checkpoint
from checkpointable.report import Outcome, Report, ReportEntry
from checkpointable.savers.checkpoint import Checkpoint

if TYPE_CHECKING:
    from checkpointable.savers.saver import CheckpointableSaver

__all__ = ["HELP", "run"]

HELP = """\
Shows which values of a checkpoint a program would restore.

MODULE:FUNCTION makes the objects of the program: a function without arguments, or a class, that
returns a cp.Checkpoint or the root object. An existing object works too. Modules are found as by
`python -m`, in the working directory first. Nothing is restored: no value is read or assigned.

On a terminal the output is a tree, otherwise a table. For each value without a counterpart the
likely one is printed, and for objects that were probably renamed the renames= that restore needs;
try them with --rename.

Exit codes: 0 everything would be restored; 1 not everything, or an error; 2 invalid arguments.

\b
  checkpointable explain runs/a train:make_model
  checkpointable explain runs/a package.train:experiment.checkpoint --problems
  checkpointable explain runs/a train:make_model --rename encoder/blocks=encoder/layers
"""


def run(
    path: PathArgument,
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION", help="A function that makes the objects, or an object."
        ),
    ],
    renames: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="Read this path of the checkpoint as another one; repeatable.",
        ),
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="Hide values that would be restored.")
    ] = False,
    json: JsonOption = False,
) -> None:
    given = parse_renames(renames or [])
    with load_checkpoint(path) as reader:
        path = reader.prefix  # raises if it does not exist, before the user's program is loaded
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
        if is_users_error(error):
            show_traceback(error)
            raise CommandFailedError(
                f"the objects of {target} failed: {type(error).__name__}"
            ) from None
        raise CommandFailedError(str(error)) from None


def _try_suggestions(
    saver: Checkpoint | CheckpointableSaver, path: str, given: Mapping[str, str], report: Report
) -> tuple[Report, dict[str, int] | None]:
    """Returns the report with suggested renames that include the given ones, and their counts."""
    if not report.renames:
        return report, None
    merged = _merged(path, given, report.renames) if given else report.renames
    after = _counts(saver, path, merged)
    if after is None:  # the renames conflict; the table still has the likely counterparts
        return replace(report, renames={}), None
    for old in given:  # drop given renames that make no difference
        fewer = {source: new for source, new in merged.items() if source != old}
        if _counts(saver, path, fewer) == after:
            merged = fewer
    return replace(report, renames=merged), after


def _counts(
    saver: Checkpoint | CheckpointableSaver, path: str, renames: Mapping[str, str]
) -> dict[str, int] | None:
    """Returns the counts with these renames; None if they are impossible."""
    try:
        return saver.plan(path, renames=renames).counts
    except ValueError:
        return None


def _merged(path: str, given: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Merges two sets of renames; the old paths of `more` are those after `given`."""
    with load_checkpoint(path) as reader:
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
            outcomes = ", ".join(f"{number} {outcome}" for outcome, number in after.items())
            out.line(f"with these renames: {outcomes}")


def _printable(report: Report) -> Report:
    """Returns the report with printable names."""

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
