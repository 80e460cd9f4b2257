"""The steps of a training: the number of its counter, and whether it is time to save."""

from __future__ import annotations

from typing import Any, NamedTuple

from checkpointable.saving.numbering import array_of, in_graph, number_in_graph

__all__ = ["DueSave", "StepInterval", "one_number"]


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

    def current(self, session: Any = None) -> Any:
        """The step that the program is at; None where steps do not count.

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
        """Takes the step that was restored for that of the last save."""
        if self.interval is None:
            return
        # A counter of graph mode has not been restored yet, only its restoring recorded: nothing
        # says which step that was, so the next save is due.
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
        """Takes the note back, since the save has failed."""
        if self.steps.last == self.step:
            self.steps.last = self.before


def one_number(value: Any) -> Any:
    """The one number in an int, a variable or a tensor of any framework."""
    array = array_of(value)
    if array.size != 1:
        raise ValueError(f"one number is wanted, not an array of shape {array.shape}")
    return array.reshape(()).item()
