"""What a comparison of two checkpoints found, as data."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from checkpointable.report.report import ValueInfo

__all__ = ["Comparison", "Difference", "Verdict"]


class Verdict(str, enum.Enum):
    """What the comparison of a value came to."""

    EQUAL = "equal"
    CHANGED = "changed"
    MISMATCH = "mismatch"  # another shape or dtype
    ONLY_IN_FIRST = "only in the first"
    ONLY_IN_SECOND = "only in the second"

    def __str__(self) -> str:
        return self.value


@dataclass
class Difference:
    """One value of either checkpoint, or of both.

    Attributes:
      path: the object's path; the name, where a checkpoint has no object graph.
      attribute: the attribute, as "VARIABLE_VALUE"; "" for a value of no object.
      verdict: what the comparison came to.
      first, second: dtype and shape on either side, None where it is not there.
      first_key, second_key: its key on either side, None where it is not there.
      elements: how many there are, where both sides have the same shape.
      count: how many of them differ; None where a value can be compared only as a whole.
      largest: the largest absolute difference of two elements; None unless numbers changed,
        NaN where one side alone is not a number.
      contents: of a value of one element that changed, both sides: a number or `bytes`.
      candidate: the path of the likely counterpart of a value that is only on one side, or
        that is another one under this path.
    """

    path: str
    attribute: str
    verdict: Verdict
    first: ValueInfo | None = None
    second: ValueInfo | None = None
    first_key: str | None = None
    second_key: str | None = None
    elements: int = 0
    count: int | None = 0
    largest: float | None = None
    contents: tuple[Any, Any] | None = None
    candidate: str | None = None


@dataclass
class Comparison:
    """What `compare_checkpoints` found, in the order of the paths.

    Attributes:
      first, second: the checkpoints' prefixes.
      differences: one a value, equal ones too.
      renames: first's path -> second's, where a rename is likely: what
        `restore(first, renames=…)` would need in a program that fits the second.
    """

    first: str
    second: str
    differences: list[Difference] = field(default_factory=list)
    renames: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.differences)

    @property
    def equal(self) -> bool:
        """Whether all values are on both sides, and equal."""
        return all(entry.verdict is Verdict.EQUAL for entry in self.differences)

    @property
    def counts(self) -> dict[str, int]:
        """How many values have which verdict; verdicts that none has are left out."""
        counted = {
            verdict.value: sum(entry.verdict is verdict for entry in self.differences)
            for verdict in Verdict
        }
        return {verdict: number for verdict, number in counted.items() if number}
