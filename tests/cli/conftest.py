from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.helpers import save_program, write


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of a saved program; it must not be changed."""
    return save_program(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="session")
def many_values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of a name-based checkpoint of 100,000 values; it must not be changed."""
    value = np.float32(1)
    values = {f"layer{i // 100}/{i}": value for i in range(100_000)}
    return write(tmp_path_factory.mktemp("many") / "many", values)
