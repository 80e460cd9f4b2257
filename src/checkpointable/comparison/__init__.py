"""Compares two checkpoints, value by value."""

from __future__ import annotations

from checkpointable.comparison.compare import compare_checkpoints as compare_checkpoints
from checkpointable.comparison.result import Comparison as Comparison
from checkpointable.comparison.result import Difference as Difference
from checkpointable.comparison.result import Verdict as Verdict

__all__ = ["Comparison", "Difference", "Verdict", "compare_checkpoints"]
