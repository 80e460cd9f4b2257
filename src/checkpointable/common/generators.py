"""The random number generators of PyTorch whose state a `cp.torch.RandomState` saves."""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["with_random_state"]

with_random_state: weakref.WeakSet[Any] = weakref.WeakSet()
"""Modules that hold one of these generators lose nothing: a save does not warn of them."""
