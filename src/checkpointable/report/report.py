"""The outcome of a restore, as data."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Outcome", "Report", "ReportEntry", "ValueInfo"]


class Outcome(str, enum.Enum):
    """The outcome of a restore for one value. `to_dict` writes the strings."""

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
    """The dtype and shape of a value, in the checkpoint or in the program.

    Attributes:
      dtype: the name of the dtype.
      shape: the shape; None if the program accepts any, and None for a dimension of any length.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype}[?]"
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass
class ReportEntry:
    """The outcome for one value.

    Attributes:
      path: the path of its object in the program, or in the checkpoint if only that has it.
      attribute: the name of the value within its object, such as "VARIABLE_VALUE".
      outcome: whether it was restored, or why not.
      checkpoint, program: its dtype and shape on each side; None where that side lacks it.
      key: its key in the checkpoint, or None.
      candidate: the path of its likely counterpart on the other side; None if there is none or
        if several are equally likely.
      candidates: the paths of all likely counterparts.
      note: a remark for the user, or "".
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
        """Returns the entry as data for JSON."""
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
    """The outcome of a restore, or of a planned one, for each value.

        report = ckpt.plan("runs/a/ckpt-7")
        print(report)                        # a table
        report["decoder/kernel"].outcome     # Outcome.MISMATCH
        report.with_outcome("missing in checkpoint")
        report.renames                       # {"encoder/blocks": "encoder/layers"}
        rich.print(report)                   # a coloured tree

    Attributes:
      checkpoint: the checkpoint prefix.
      entries: one per value: those of the program, in the order of its objects, then those that
        only the checkpoint has.
      renames: the `renames` argument of `restore` that matches the likely counterparts.
      notes: remarks on the whole restore.
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
        """Returns the entry with this path; the program's if both sides have one.

        Raises:
          KeyError: No value has this path.
        """
        for entry in self.entries:
            if entry.path == path:
                return entry
        raise KeyError(f"no value at {path!r} in this report")

    def with_outcome(self, outcome: Outcome | str) -> list[ReportEntry]:
        """Returns the entries with this outcome, given as `Outcome` or as its string."""
        wanted = Outcome(outcome)
        return [entry for entry in self.entries if entry.outcome is wanted]

    @property
    def counts(self) -> dict[str, int]:
        """The number of entries per outcome, without outcomes that no entry has."""
        counts = {
            outcome.value: sum(entry.outcome is outcome for entry in self.entries)
            for outcome in Outcome
        }
        return {outcome: count for outcome, count in counts.items() if count}

    @property
    def complete(self) -> bool:
        """Whether every value of the checkpoint and of the program was restored."""
        return all(entry.outcome is Outcome.RESTORED for entry in self.entries)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as data for JSON."""
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
