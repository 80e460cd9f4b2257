"""Options of saves that are misspelt, or of another kind, are refused before anything is done."""

from __future__ import annotations

import os

import numpy as np
import pytest

import checkpointable as cp
from tests.async_saving.helpers import program


def saves(directory):
    """Every way to save that can be one in the background."""
    checkpoint = program()[1]
    yield checkpoint.save, (directory / "a",)
    yield checkpoint.write, (directory / "a",)
    yield cp.CheckpointableSaver(checkpoint).save, (directory / "a", 1)
    yield cp.CheckpointManager(checkpoint, directory, 1).save, ()


@pytest.mark.parametrize("blocking", ["no", "False", 0, 1, None, ""])
def test_a_misspelt_blocking_is_refused(tmp_path, blocking):
    for save, arguments in saves(tmp_path):
        with pytest.raises(ValueError, match=r"blocking is .*; it must be True"):
            save(*arguments, blocking=blocking)
    assert os.listdir(tmp_path) == []


def test_a_truth_value_of_numpy_is_one(tmp_path):
    checkpoint = program()[1]
    assert checkpoint.save(tmp_path / "a", blocking=np.bool_(True)) == str(tmp_path / "a-1")
    assert checkpoint.save(tmp_path / "a", blocking=np.bool_(False)).result().endswith("a-2")


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), ("10", TypeError), (1.5, TypeError)])
def test_a_wrong_limit_is_refused_whether_it_is_used_or_not(tmp_path, blocking, size, error):
    for save, arguments in saves(tmp_path):
        with pytest.raises(error, match="max_staging_bytes is "):
            save(*arguments, blocking=blocking, max_staging_bytes=size)
    assert os.listdir(tmp_path) == []


def test_a_blocking_save_keeps_any_limit(tmp_path):
    checkpoint = program()[1]
    assert checkpoint.save(tmp_path / "a", max_staging_bytes=0) == str(tmp_path / "a-1")
