"""Conformance tests for storages: for those of third parties and for the built-in ones.

Derive a test class from `StorageConformance` and provide two fixtures; pytest does the rest:

    class TestMyStorage(StorageConformance):
        @pytest.fixture
        def storage(self):
            return MyStorage(…)

        @pytest.fixture
        def directory(self, tmp_path):
            return str(tmp_path)                  # an existing, empty directory
"""

from __future__ import annotations

from checkpointable.testing.storage_suite.contents import ContentsTests
from checkpointable.testing.storage_suite.names import NamesTests
from checkpointable.testing.storage_suite.writers import WritersTests

__all__ = ["StorageConformance"]


class StorageConformance(ContentsTests, NamesTests, WritersTests):
    """All conformance tests. A subclass provides the fixtures `storage` and `directory`."""
