"""The suite that ships, for every storage that ships."""

from __future__ import annotations

import pytest

from checkpointable.storage import LocalStorage
from checkpointable.testing import (
    READS,
    FaultyStorage,
    MemoryStorage,
    RecordingStorage,
    SlowStorage,
    StoppingStorage,
    StorageConformance,
)
from checkpointable.testing.watched import CHANGES

ALL = CHANGES | READS


class OfFiles(StorageConformance):
    @pytest.fixture
    def directory(self, tmp_path):
        return str(tmp_path)


class TestLocal(OfFiles):
    @pytest.fixture
    def storage(self):
        return LocalStorage()


class TestMemory(StorageConformance):
    @pytest.fixture
    def storage(self):
        storage = MemoryStorage()
        storage.make_directories("/runs/a")
        return storage

    @pytest.fixture
    def directory(self):
        return "/runs/a"


class TestRecording(OfFiles):
    @pytest.fixture
    def storage(self):
        return RecordingStorage(kinds=ALL)


class TestFaultyWithoutAFault(OfFiles):
    @pytest.fixture
    def storage(self):
        return FaultyStorage(None, kinds=ALL)


class TestStoppingNever(OfFiles):
    @pytest.fixture
    def storage(self):
        return StoppingStorage(None, kinds=ALL)


class TestSlow(OfFiles):
    @pytest.fixture
    def storage(self):
        return SlowStorage(0.0, kinds=ALL, sleep=lambda _seconds: None)
