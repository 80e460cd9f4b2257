"""Checks the arguments of a manager when it is created, not when they are first used."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from checkpointable.manager.steps import one_number
from checkpointable.savers.options import Best

__all__ = ["Retention", "check_metrics", "check_metrics_function", "check_name"]

_SECONDS_PER_HOUR = 3600.0


class Retention(NamedTuple):
    """The checkpoints that a manager keeps.

    Attributes:
      max_to_keep: the number of newest checkpoints. None: all.
      keep_every: the minimum seconds between two that are kept for good. 0: none is.
      best: (metric, "min" or "max", number of best checkpoints), or None.
    """

    max_to_keep: int | None
    keep_every: float
    best: Best | None

    @staticmethod
    def of(max_to_keep: Any, hours: Any, best: Any) -> Retention:
        """Checks the arguments of a manager.

        Raises:
          ValueError: `max_to_keep` is neither a positive integer nor None, the hours are negative,
            or `best` has another form.
          TypeError: the hours are not a number.
        """
        _check_max_to_keep(max_to_keep)
        return Retention(
            max_to_keep,
            _checked_hours(hours) * _SECONDS_PER_HOUR,
            None if best is None else _checked_best(best),
        )


def _check_max_to_keep(max_to_keep: Any) -> None:
    if max_to_keep is None:
        return
    try:
        count = 0 if isinstance(max_to_keep, bool) else operator.index(max_to_keep)
    except TypeError:
        count = 0
    if count <= 0:
        raise ValueError(f"max_to_keep is {max_to_keep!r}; it must be a positive integer or None")


def _checked_hours(hours: Any) -> float:
    try:
        number = 0.0 if hours is None else float(operator.pos(hours))
    except TypeError:
        raise TypeError(
            f"keep_checkpoint_every_n_hours is {hours!r}; it must be a number of hours or None"
        ) from None
    if not number >= 0.0:
        raise ValueError(
            f"keep_checkpoint_every_n_hours is {hours!r}; hours cannot be negative. None keeps no "
            "checkpoint for good"
        )
    return number


def _checked_best(best: Any) -> Best:
    if isinstance(best, (tuple, list)) and len(best) == 3:
        name, mode, count = best
        if isinstance(name, str) and mode in {"min", "max"} and type(count) is int and count > 0:
            return name, mode, count
    raise ValueError(f"best is {best!r}; it must be (metric, 'min' or 'max', k)")


def check_name(name: Any) -> None:
    """Checks `checkpoint_name`.

    Raises:
      ValueError: it leads out of the manager's directory, whose state file could not list such
        checkpoints.
      TypeError: it is not a str.
    """
    if not isinstance(name, str):
        raise TypeError(f"checkpoint_name must be a str, not {type(name).__name__}")
    if os.path.isabs(name) or os.pardir in name.split(os.sep):
        raise ValueError(
            f"checkpoint_name is {name!r}, which leads out of the directory; it must be the "
            "beginning of file names in the directory"
        )


def check_metrics(metrics: Mapping[str, Any], best: Best | None) -> dict[str, float]:
    """Returns the metrics of a checkpoint as numbers.

    Raises:
      ValueError: a metric is not a number, or the metric of `best` is missing.
    """
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        try:
            numbers[str(name)] = float(one_number(value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"metrics: {name!r} is not a number: {error}") from None
    if metrics and best is not None and best[0] not in numbers:
        raise ValueError(
            f"metrics has no {best[0]!r}, which best= ranks by; it has "
            f"{', '.join(map(repr, numbers))}"
        )
    return numbers


def check_metrics_function(metrics: Any) -> None:
    """Checks the metrics of `save_on_preemption`.

    Raises:
      TypeError: it is neither a function nor None.
    """
    if metrics is not None and not callable(metrics):
        raise TypeError(
            f"metrics must be a function that returns them, not a {type(metrics).__name__}: it is "
            "called when a signal has arrived"
        )
