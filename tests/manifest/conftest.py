"""A checkpoint that is signed."""

from __future__ import annotations

import pytest

from tests.manifest.helpers import (
    SECRET,
    program,
)


@pytest.fixture
def prefix(tmp_path):
    return program(1).write(tmp_path / "ck", sign_with=SECRET)
