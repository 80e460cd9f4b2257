"""Tests that every reader must pass, whether of this package or of a third party.

Derive a class from `ReaderConformance` in a test module and add the fixture `write`; pytest
collects the tests:

    class TestMyFormat(ReaderConformance):
        @pytest.fixture
        def write(self, tmp_path):
            def write(values):
                my_format.save(tmp_path / "file.mine", values)
                return str(tmp_path / "file.mine")

            return write
"""

from __future__ import annotations

from checkpointable.testing.reader_suite.batches import BatchTests
from checkpointable.testing.reader_suite.values import ValueTests

__all__ = ["ReaderConformance"]


class ReaderConformance(ValueTests, BatchTests):
    """Tests of a `CheckpointReader`; a subclass has the fixture `write`.

    `write(values)` writes a file with the given arrays by name, and returns the path that
    `load_checkpoint` opens. A test that does not apply to a format is set to None, with the
    reason in a comment.

    Attributes:
      dtypes: The names of the NumPy dtypes that the format stores.
      has_strings: Whether it stores strings.
      damage: `damage(path, array)` changes a byte of the array in the file at `path`;
        None if the format has no checksums.
    """
