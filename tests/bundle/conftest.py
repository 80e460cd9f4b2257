"""A checkpoint that tests damage."""

from __future__ import annotations

import pytest

from tests.bundle.helpers import a_few, save


@pytest.fixture
def prefix(tmp_path):
    return save(tmp_path / "ck", a_few())
