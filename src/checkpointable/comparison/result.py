"""The result of a comparison of two checkpoints, as data."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from checkpointable.report.report import ValueInfo

__all__ = ["Comparison", "Difference", "Verdict"]


class Verdict(str, enum.Enum):
    """The result of a comparison for one value."""

    EQUAL = "equal"
    CHANGED = "changed"
    MISMATCH = "mismatch"  # different shape or dtype
    ONLY_IN_FIRST = "only in the first"
    ONLY_IN_SECOND = "only in the second"

    def __str__(self) -> str:
        return self.value


@dataclass
class Difference:
    """The comparison of one value.

    Attributes:
      path: the path of its object, or its name in a name-based checkpoint.
      attribute: the name of the value within its object, such as "VARIABLE_VALUE"; "" without an
        object.
      verdict: the result.
      first, second: its dtype and shape in each checkpoint, None where that lacks it.
      first_key, second_key: its key in each checkpoint, None where that lacks it.
      elements: the number of elements, if both sides have the same dtype and shape.
      count: the number of elements that differ; None if only the whole value can be compared.
      largest: the largest absolute difference of two elements; None unless numbers changed, NaN if
        only one of two elements is NaN.
      contents: both sides of a single element that changed, as numbers or `bytes`.
      candidate: the path of the likely counterpart of a value that only one side has, or whose
        dtypes or shapes differ.
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
    """The result of `compare_checkpoints`.

        result = cp.compare_checkpoints("runs/a/ckpt-7", "runs/b/ckpt-7")
        result.counts                       # {"equal": 10, "changed": 2}

    Attributes:
      first, second: the checkpoint prefixes.
      differences: one per value in the order of the paths, equal values included.
      renames: likely renames, path in the first -> path in the second: the `renames` argument to
        restore the first into a program that fits the second.
    """

    first: str
    second: str
    differences: list[Difference] = field(default_factory=list)
    renames: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.differences)

    @property
    def equal(self) -> bool:
        """True if both checkpoints have the same values."""
        return all(entry.verdict is Verdict.EQUAL for entry in self.differences)

    @property
    def counts(self) -> dict[str, int]:
        """The number of values per verdict, without verdicts that no value has."""
        counts = {
            verdict.value: sum(entry.verdict is verdict for entry in self.differences)
            for verdict in Verdict
        }
        return {verdict: number for verdict, number in counts.items() if number}
