"""Decides which checkpoints a manager deletes, and never deletes the only complete one."""

from __future__ import annotations

import math
from collections.abc import Callable

from checkpointable.common.logs import logger
from checkpointable.directory.latest import is_whole
from checkpointable.manager.checks import Retention
from checkpointable.manager.history import EXPIRED, KEPT, PRESERVED, History, Written
from checkpointable.savers.options import Best

__all__ = ["ranking", "sweep"]


def ranking(history: History, best: Best | None) -> list[Written]:
    """Returns the k best checkpoints, the best first; preserved ones are ranked too."""
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


def sweep(history: History, retention: Retention, path_of: Callable[[Written], str]) -> None:
    """Marks in the history the checkpoints that are to be deleted; deletes nothing.

    Args:
      retention: the checkpoints to keep.
      path_of: returns the path of a checkpoint.
    """
    if not retention.max_to_keep:
        return
    chosen = {entry.path for entry in ranking(history, retention.best)}
    keep_every = retention.keep_every
    for entry in history.with_fate(KEPT)[: -retention.max_to_keep]:
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
    """Reverts a deletion that would leave no complete checkpoint."""
    expired = history.with_fate(EXPIRED)
    if not expired or any(
        is_whole(path_of(entry)) for entry in reversed(history.with_fate(KEPT, PRESERVED))
    ):
        return
    for entry in reversed(expired):
        if is_whole(path_of(entry)):
            history.decide(entry, KEPT)
            logger.warning(
                "%s: kept beyond max_to_keep, because no newer checkpoint is whole", path_of(entry)
            )
            return
