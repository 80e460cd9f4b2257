"""Scalar strings are bytes for users, and arrays of shape () for code that takes arrays."""

from __future__ import annotations

import numpy as np
import pytest

from checkpointable.common.scalar_strings import array_of_contents, contents_of_array


@pytest.mark.parametrize("text", [b"", b"a", b"trailing \x00"])
def test_a_scalar_string_there_and_back(text):
    array = array_of_contents(text)
    assert (array.dtype, array.shape, array[()]) == (np.dtype(object), (), text)
    assert contents_of_array(array) == text
    assert type(contents_of_array(array)) is bytes


@pytest.mark.parametrize(
    "array", [np.float32(1).reshape(()), np.zeros(0), np.array([b"a"], object), np.ones((2, 3))]
)
def test_any_other_array_is_itself(array):
    assert contents_of_array(array) is array
    assert array_of_contents(array) is array
