"""The steps of a training: the number of its counter, and whether it is time to save."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["StepInterval", "one_number"]


class StepInterval:
    """The least number of steps between two saves.

    Args:
      counter: an int, or a variable that counts steps.
      interval: that number; None: steps do not count.

    Attributes:
      last: the step of the last save; None if there was none.
    """

    def __init__(self, counter: Any, interval: int | None, last: int | None) -> None:
        self._counter = counter
        self.interval = interval
        self.last = last

    def current(self) -> Any:
        """The step that the program is at; None where steps do not count."""
        return None if self.interval is None else one_number(self._counter)

    def is_due(self, step: Any, check_interval: bool) -> bool:
        """Whether it is time for a save at this step.

        Args:
          check_interval: if enough steps have passed. False: unless this very step is saved.
        """
        if self.interval is None or self.last is None:
            return True
        least = self.last + self.interval if check_interval else 0
        return not (step == self.last or step < least)

    def note(self) -> None:
        """Takes the current step for that of the last save."""
        if self.interval is not None:
            self.last = one_number(self._counter)


def one_number(value: Any) -> Any:
    """The one number in an int, a variable or a tensor of any framework."""
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    if array.size != 1:
        raise ValueError(f"one number is wanted, not an array of shape {array.shape}")
    return array.reshape(()).item()
