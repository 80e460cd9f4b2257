"""The outcome of a restore as data."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Outcome", "Report", "ReportEntry", "ValueInfo"]


class Outcome(str, enum.Enum):
    """What became of a value. The values are what `to_dict` writes."""

    RESTORED = "restored"
    DEFERRED = "deferred"  # waits for its object to be created
    MISSING = "missing in checkpoint"
    UNUSED = "unused in checkpoint"
    MISMATCH = "mismatch"  # shape or dtype
    AMBIGUOUS = "ambiguous"  # two objects claim one value, or two values one object

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class ValueInfo:
    """Dtype and shape of one side; shape None where the program takes any."""

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype}[?]"
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass
class ReportEntry:
    """One value.

    Attributes:
      path: the object's path: the program's, or the checkpoint's where it is only there.
      attribute: the attribute, as "VARIABLE_VALUE".
      outcome: what became of it.
      checkpoint, program: dtype and shape on either side, None where it is not there.
      key: the key in the checkpoint, None where it is not there.
      candidate: the path of its likely counterpart on the other side; None if there is none,
        or if it is ambiguous which.
      candidates: the paths that come into question; those that are equally likely if it is
        ambiguous.
      note: what else is to be said, "" if nothing.
    """

    path: str
    attribute: str
    outcome: Outcome
    checkpoint: ValueInfo | None = None
    program: ValueInfo | None = None
    key: str | None = None
    candidate: str | None = None
    candidates: list[str] = field(default_factory=list)
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON data."""
        return {
            "path": self.path,
            "attribute": self.attribute,
            "outcome": self.outcome.value,
            "checkpoint": _side(self.checkpoint),
            "program": _side(self.program),
            "key": self.key,
            "candidate": self.candidate,
            "candidates": list(self.candidates),
            "note": self.note,
        }


def _side(info: ValueInfo | None) -> dict[str, Any] | None:
    if info is None:
        return None
    shape = None if info.shape is None else list(info.shape)
    return {"dtype": info.dtype, "shape": shape}


@dataclass
class Report:
    """What a restore did, or would do, value by value.

        report = ckpt.plan("runs/a/ckpt-7")
        print(report)                        # a table
        report.renames                       # {"encoder/blocks": "encoder/layers"}
        rich.print(report)                   # a coloured tree

    Attributes:
      checkpoint: the checkpoint's prefix.
      entries: one a value: the program's in the order of its objects, then the checkpoint's.
      renames: what `restore(renames=…)` would need for the suggested counterparts.
      notes: what is to be said of the whole.
    """

    checkpoint: str
    entries: list[ReportEntry] = field(default_factory=list)
    renames: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[ReportEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, path: str) -> ReportEntry:
        """The entry of that path (the program's, where both sides have one).

        Raises:
          KeyError: there is none.
        """
        for entry in self.entries:
            if entry.path == path:
                return entry
        raise KeyError(f"no value at {path!r} in this report")

    def with_outcome(self, outcome: Outcome | str) -> list[ReportEntry]:
        """The entries with that outcome."""
        wanted = Outcome(outcome)
        return [entry for entry in self.entries if entry.outcome is wanted]

    @property
    def counts(self) -> dict[str, int]:
        """How many entries have which outcome; outcomes that none has are left out."""
        found: dict[str, int] = {}
        for outcome in Outcome:
            number = sum(entry.outcome is outcome for entry in self.entries)
            if number:
                found[outcome.value] = number
        return found

    @property
    def complete(self) -> bool:
        """Whether everything was restored, on both sides."""
        return all(entry.outcome is Outcome.RESTORED for entry in self.entries)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON data."""
        return {
            "checkpoint": self.checkpoint,
            "counts": self.counts,
            "entries": [entry.to_dict() for entry in self.entries],
            "renames": dict(self.renames),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        from checkpointable.report.text import table

        return table(self)

    def __rich__(self) -> Any:
        from checkpointable.report.text import tree

        return tree(self)
