"""What a manager keeps: the newest, the best, one every so often, and the only whole one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from checkpointable.history import EXPIRED, KEPT, PRESERVED, History, Written
from checkpointable.logs import logger
from checkpointable.management import is_whole
from checkpointable.steps import one_number

__all__ = ["Best", "check_best", "check_metrics", "ranking", "sweep"]

# (metric, "min" or "max", how many)
Best = tuple[str, str, int]


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
