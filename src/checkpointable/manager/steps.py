"""The steps of a training run: the value of their counter, and whether a save is due."""

from __future__ import annotations

from typing import Any, NamedTuple

from checkpointable.saving.numbering import array_of, in_graph, number_in_graph

__all__ = ["DueSave", "StepInterval", "one_number"]


class StepInterval:
    """The minimum number of steps between two saves.

    Args:
      counter: an int, or a variable that counts steps.
      interval: the minimum number. None: every save is due.
      last: the step of the save before the first.

    Attributes:
      last: the step of the last save; None if there was none.

    Raises:
      ValueError: there is an interval, but no counter.
    """

    def __init__(self, counter: Any, interval: int | None, last: int | None) -> None:
        if interval is not None and counter is None:
            raise ValueError("checkpoint_interval needs a step_counter")
        self._counter = counter
        self.interval = interval
        self.last = last

    def current(self, session: Any = None) -> Any:
        """Returns the current step of the program; None without an interval.

        Args:
          session: evaluates a counter of graph mode (S36).
        """
        if self.interval is None:
            return None
        evaluated = number_in_graph(self._counter, session)
        return one_number(self._counter if evaluated is None else evaluated)

    def due(
        self, check_interval: bool, metrics: dict[str, float], session: Any = None
    ) -> DueSave | None:
        """Returns the save that is due at this step; None if there is none.

        Args:
          check_interval: True: a save is due if enough steps have passed since the last one.
            False: unless this very step is saved already.
          metrics: kept with the checkpoint.
          session: evaluates a counter of graph mode (S36).
        """
        step = self.current(session)
        if self.interval is not None and self.last is not None:
            least = self.last + self.interval if check_interval else 0
            if step == self.last or step < least:
                return None
        return DueSave(self, step, self.last, metrics)

    def note_restored(self) -> None:
        """Notes the restored step as that of the last save."""
        if self.interval is None:
            return
        # The restore of a counter in graph mode is only scheduled. Its step is unknown, so the next
        # save is due.
        self.last = None if in_graph(self._counter) else one_number(self._counter)


class DueSave(NamedTuple):
    """A save of a manager that is due.

    Attributes:
      steps: the steps of the manager.
      step: the step that is saved.
      before: the step of the save before.
      metrics: kept with the checkpoint.
    """

    steps: StepInterval
    step: Any
    before: Any
    metrics: dict[str, float]

    def note(self) -> None:
        """Notes that the step is saved."""
        self.steps.last = self.step

    def take_back(self) -> None:
        """Reverts `note`, because the save has failed."""
        if self.steps.last == self.step:
            self.steps.last = self.before


def one_number(value: Any) -> Any:
    """Returns the number in an int, or in a variable or tensor of any framework."""
    array = array_of(value)
    if array.size != 1:
        raise ValueError(f"the step must be a single number, not an array of shape {array.shape}")
    return array.reshape(()).item()
