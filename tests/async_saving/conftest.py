"""A gate that holds up background saves."""

from __future__ import annotations

import threading

import pytest

from checkpointable.storage.local import LocalStorage


@pytest.fixture
def gate(monkeypatch):
    """Background saves wait until it is set before they create their data file."""
    opened = threading.Event()
    create = LocalStorage.create
    main = threading.current_thread()

    def late(self, path, size):
        if threading.current_thread() is not main:
            assert opened.wait(60)
        return create(self, path, size)

    monkeypatch.setattr(LocalStorage, "create", late)
    yield opened
    opened.set()
