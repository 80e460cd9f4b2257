"""A clock that the tests move, for our managers and for TensorFlow's."""

from __future__ import annotations

import types

import pytest
from tensorflow.python.checkpoint import checkpoint_management

START = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch):
    """Seconds since the epoch; stands still unless a test moves it."""
    clock = Clock()
    monkeypatch.setattr("checkpointable.manager.kept.now", clock)
    stopped = types.SimpleNamespace(time=clock)
    monkeypatch.setattr(checkpoint_management, "time", stopped)
    return clock
