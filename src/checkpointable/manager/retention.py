"""What a manager keeps: the newest, the best, one every so often, and the only whole one."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Mapping
from typing import Any

from checkpointable.common.logs import logger
from checkpointable.directory.latest import is_whole
from checkpointable.manager.history import EXPIRED, KEPT, PRESERVED, History, Written
from checkpointable.manager.steps import one_number
from checkpointable.savers.options import Best

__all__ = [
    "check_best",
    "check_hours",
    "check_max_to_keep",
    "check_metrics",
    "check_name",
    "ranking",
    "sweep",
]


def check_max_to_keep(max_to_keep: Any) -> None:
    """Checks a manager's `max_to_keep`: at its making, not when something is to be deleted.

    Raises:
      ValueError: it is neither a positive integer nor None.
    """
    if max_to_keep is None:
        return
    try:
        count = 0 if isinstance(max_to_keep, bool) else operator.index(max_to_keep)
    except TypeError:
        count = 0
    if count <= 0:
        raise ValueError(f"max_to_keep is a positive number or None, not {max_to_keep!r}")


def check_hours(hours: Any) -> float:
    """A manager's `keep_checkpoint_every_n_hours`; 0 for None.

    Raises:
      ValueError: it is negative, or not a number.
      TypeError: it is of a type that is none.
    """
    try:
        number = 0.0 if hours is None else float(operator.pos(hours))
    except TypeError:
        raise TypeError(
            f"keep_checkpoint_every_n_hours is a number of hours or None, not {hours!r}"
        ) from None
    if not number >= 0.0:
        raise ValueError(
            f"keep_checkpoint_every_n_hours is {hours!r}; hours cannot be negative, and None keeps "
            "none for good"
        )
    return number


def check_name(name: Any) -> None:
    """Checks a manager's `checkpoint_name`.

    Raises:
      ValueError: what it leads to is not in the manager's directory, so that the lists there
        could not name it.
      TypeError: it is no str.
    """
    if not isinstance(name, str):
        raise TypeError(f"checkpoint_name is a str, not {type(name).__name__}")
    if os.path.isabs(name) or os.pardir in name.split(os.sep):
        raise ValueError(
            f"checkpoint_name is {name!r}, which leads out of the directory: it is the beginning "
            "of the files' names in it"
        )


def check_best(best: Any) -> Best:
    """`best`, if it is of this form.

    Raises:
      ValueError
    """
    if isinstance(best, (tuple, list)) and len(best) == 3:
        name, mode, count = best
        if isinstance(name, str) and mode in {"min", "max"} and type(count) is int and count > 0:
            return name, mode, count
    raise ValueError(f"best is (metric, 'min' or 'max', k), not {best!r}")


def check_metrics(metrics: Mapping[str, Any], best: Best | None) -> dict[str, float]:
    """The metrics of a checkpoint as numbers.

    Raises:
      ValueError: one is no number, or none is what `best` goes by.
    """
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        try:
            numbers[str(name)] = float(one_number(value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"metrics: {name!r} is no number: {error}") from None
    if metrics and best is not None and best[0] not in numbers:
        raise ValueError(
            f"metrics has no {best[0]!r}, which best= goes by; it has "
            f"{', '.join(map(repr, numbers))}"
        )
    return numbers


def ranking(history: History, best: Best | None) -> list[Written]:
    """The k best, the best first; those that are preserved compete too."""
    if best is None:
        return []
    name, mode, count = best
    sign = 1.0 if mode == "min" else -1.0
    ranked = [
        entry
        for entry in history.with_fate(KEPT, PRESERVED)
        if not math.isnan(entry.metrics.get(name, math.nan))
    ]
    # A stable sort: of equal ones the older comes first.
    return sorted(ranked, key=lambda entry: sign * entry.metrics[name])[:count]


def sweep(
    history: History,
    max_to_keep: int | None,
    keep_every: float,
    best: Best | None,
    path_of: Callable[[Written], str],
) -> None:
    """Decides what is too many, and notes it in the history; deletes nothing.

    Args:
      max_to_keep: how many of the newest are kept; None: all.
      keep_every: seconds between two that are preserved; 0: none is.
      path_of: the path of one.
    """
    if not max_to_keep:
        return
    chosen = {entry.path for entry in ranking(history, best)}
    for entry in history.with_fate(KEPT)[:-max_to_keep]:
        if keep_every and entry.timestamp - keep_every >= history.last_preserved:
            history.last_preserved = entry.timestamp
            history.decide(entry, PRESERVED)
        elif entry.path not in chosen:
            history.decide(entry, EXPIRED)
    for entry in history.with_fate(PRESERVED):
        if entry.path not in chosen:
            history.forget(entry)
    _spare_the_last_whole(history, path_of)


def _spare_the_last_whole(history: History, path_of: Callable[[Written], str]) -> None:
    """Takes back a deletion that would leave no whole checkpoint."""
    expired = history.with_fate(EXPIRED)
    if not expired or any(
        is_whole(path_of(entry)) for entry in reversed(history.with_fate(KEPT, PRESERVED))
    ):
        return
    for entry in reversed(expired):
        if is_whole(path_of(entry)):
            history.decide(entry, KEPT)
            logger.warning(
                "%s: kept beyond max_to_keep, since no newer checkpoint is whole", path_of(entry)
            )
            return
