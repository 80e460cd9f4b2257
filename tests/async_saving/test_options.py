"""Options of saves that are misspelt, or of another type, are refused before anything is done."""

from __future__ import annotations

import os

import numpy as np
import pytest

import checkpointable as cp
from tests.async_saving.helpers import program


def savers(directory):
    """(object, method, arguments) of every method that saves and has an asynchronous twin."""
    checkpoint = program()[1]
    yield checkpoint, "save", (directory / "a",)
    yield checkpoint, "write", (directory / "a",)
    yield cp.CheckpointableSaver(checkpoint), "save", (directory / "a", 1)
    yield cp.CheckpointManager(checkpoint, directory, 1), "save", ()


@pytest.mark.parametrize("blocking", ["no", "False", 0, 1, None, ""])
def test_a_misspelt_blocking_is_refused(tmp_path, blocking):
    for saver, method, arguments in savers(tmp_path):
        with pytest.raises(ValueError, match=r"blocking is .*; it must be True") as error:
            getattr(saver, method)(*arguments, blocking=blocking)
        assert f"call {method} " in str(error.value)
        assert f"or {method}_async " in str(error.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("false", [False, np.bool_(False)])
def test_blocking_false_still_saves_in_the_background(tmp_path, false):
    for number, (saver, method, arguments) in enumerate(savers(tmp_path)):
        path = [str(tmp_path / name) for name in ("a-1", "a", "a-1", "ckpt-2")][number]
        advice = rf"blocking=False of \w+\.{method} is .* call {method}_async instead"
        with pytest.warns(DeprecationWarning, match=advice) as warned:
            handle = getattr(saver, method)(*arguments, blocking=false, max_staging_bytes=100)
        assert [warning.filename for warning in warned] == [__file__]
        assert isinstance(handle, cp.SaveHandle)
        assert handle.result() == path


@pytest.mark.parametrize("old", [{"blocking": True}, {"max_staging_bytes": 0}])
def test_a_blocking_save_still_takes_what_it_does_not_need(tmp_path, old):
    for saver, method, arguments in savers(tmp_path):
        with pytest.warns(DeprecationWarning, match=f"^passing .* is dep.* {method} always blocks"):
            assert isinstance(getattr(saver, method)(*arguments, **old), str)


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), ("10", TypeError), (1.5, TypeError)])
def test_a_wrong_limit_is_refused_whether_it_is_used_or_not(tmp_path, size, error):
    for saver, method, arguments in savers(tmp_path):
        for save in (getattr(saver, method), getattr(saver, f"{method}_async")):
            with pytest.raises(error, match="max_staging_bytes is "):
                save(*arguments, max_staging_bytes=size)
    assert os.listdir(tmp_path) == []


def test_a_misspelt_option_is_refused_with_similar_ones(tmp_path):
    for saver, method, arguments in savers(tmp_path):
        name = f"{type(saver).__name__}.{method}"
        for save, suffix in (
            (getattr(saver, method), ""),
            (getattr(saver, f"{method}_async"), "_async"),
        ):
            with pytest.raises(TypeError) as error:
                save(*arguments, durabilty="flush")
            assert str(error.value).startswith(
                f"{name}{suffix}() got an unknown option durabilty=; did you mean durability=?"
            )
            with pytest.raises(TypeError, match=r"zzz=\. Its options are durab.*sign_with$"):
                save(*arguments, zzz=1)
    with pytest.raises(
        TypeError, match=r"^Saver.save\(\) got an unknown option max_staging_bytes="
    ):
        cp.Saver([cp.Variable(1.0, name="v")]).save(tmp_path / "a", max_staging_bytes=1)
    assert os.listdir(tmp_path) == []


def test_misspelt_options_of_restores_and_managers(tmp_path):
    checkpoint = program()[1]
    path = checkpoint.save(tmp_path / "a")
    saver = cp.CheckpointableSaver(checkpoint)
    for restore in (checkpoint.restore, checkpoint.read, saver.restore):
        with pytest.raises(TypeError, match=r"restore|read\(\) got .* did you mean rename"):
            restore(path, rename={})
    with pytest.raises(
        TypeError, match=r"^CheckpointManager\(\) got .*did you mean init_fn=\? Its"
    ):
        cp.CheckpointManager(checkpoint, tmp_path, 1, init_func=print)
