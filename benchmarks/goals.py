"""The goals, and the results of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import bert, imports, waiting
from .contenders import OURS
from .tables import added
from .timing import Result, Spread
from .workloads import HUGE, LARGE, SMALL

SAFETENSORS = "safetensors, PyTorch"  # as most people use it
STREAM, UNVERIFIED, VARIABLES = "ours, verify=stream", "ours, verify=False", "ours, tf.Variable"


class Goal(NamedTuple):
    """How many times as fast as `peer` the contender `own` is to be, at least."""

    work: str
    own: str
    peer: str
    least: float


GOALS = (
    *(Goal(f"save {work}", OURS, "TensorFlow", 4.0) for work in (LARGE, HUGE)),
    *(Goal(f"save {work}", OURS, SAFETENSORS, 2.0) for work in (LARGE, HUGE)),
    *(Goal(f"restore {work}", OURS, "TensorFlow", 4.0) for work in (LARGE, HUGE)),
    *(Goal(f"restore {work}", OURS, SAFETENSORS, 0.65) for work in (LARGE, HUGE)),
    *(Goal(f"restore {work}", STREAM, SAFETENSORS, 0.75) for work in (LARGE, HUGE)),
    *(Goal(f"restore {work}", UNVERIFIED, SAFETENSORS, 0.95) for work in (LARGE, HUGE)),
    *(Goal(f"{what} {SMALL}", OURS, "TensorFlow", 30.0) for what in ("save", "restore")),
    *(Goal(f"{what} {SMALL}", OURS, SAFETENSORS, 3.0) for what in ("save", "restore")),
    *(Goal(f"{what} {LARGE}", VARIABLES, "TensorFlow", 2.0) for what in ("save", "restore")),
    *(Goal(f"{what} {SMALL}", VARIABLES, "TensorFlow", 10.0) for what in ("save", "restore")),
    Goal(f"save {bert.WORK}", bert.OURS, bert.TORCH, 2.0),
    *(
        Goal(f"{what} {bert.WORK}", bert.OURS, bert.TORCH, 3.0)
        for of in ("restore", "restore, new optimizer,")
        for what in (of, f"{of} in a new process,")
    ),
    Goal("open 100,000 entries, read one", OURS, "TensorFlow", 5.0),
    # An asynchronous save's caller waits for 1.3 times one copy at most.
    Goal("the caller's wait, 1,000 MB in 8 values", waiting.OURS, waiting.COPY, 1 / 1.3),
)
IMPORT_SECONDS = 0.060  # that `import checkpointable` may add to `import numpy`


def reached(results: Iterable[Result]) -> Iterator[tuple[Goal, Spread]]:
    """Yields each goal that the results cover, with the measured ratio."""
    by_work = {result.work: result for result in results}
    for goal in GOALS:
        result = by_work.get(goal.work)
        if result is not None and {goal.own, goal.peer} <= result.seconds.keys():
            yield goal, result.ratio(goal.peer, goal.own)


def table(results: list[Result], imported: Result) -> str:
    """Returns the goals and results as a Markdown table."""
    lines = [
        "| work | | against | at least | measured | |",
        "| --- | --- | --- | ---: | ---: | --- |",
    ]
    for goal, ratio in reached(results):
        measured = f"{ratio.median:.2f} ({ratio.min:.2f}–{ratio.max:.2f})"
        verdict = "reached" if ratio.median >= goal.least else "**missed**"
        figures = f"{goal.least:.2f} | {measured} | {verdict}"
        lines.append(f"| {goal.work} | {goal.own} | {goal.peer} | {figures} |")
    more = added(imported, imports.OURS)
    verdict = "reached" if more.median <= IMPORT_SECONDS else "**missed**"
    lines.append(
        f"| {imports.OURS} | | {imports.NUMPY} | + {IMPORT_SECONDS * 1e3:.0f} ms | "
        f"{more.median * 1e3:+.0f} ms ({more.min * 1e3:+.0f}–{more.max * 1e3:+.0f}) | {verdict} |"
    )
    return "\n".join(lines) + "\n"
