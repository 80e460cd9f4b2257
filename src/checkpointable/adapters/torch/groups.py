"""Param groups: the hyperparameters of an optimizer."""

from __future__ import annotations

from typing import Any

__all__ = ["groups_of"]


def groups_of(optimizer: Any) -> Any:
    """The object that stands for the groups of an optimizer; None as long as none does."""
    del optimizer
