"""Data types by number and by NumPy type."""

from __future__ import annotations

import numpy as np
import pytest

from checkpointable.bundle import DataType, datatype_of, itemsize, numpy_dtype
from checkpointable.errors import CheckpointUnsupportedError
from tests.bundle.helpers import FIXED_KINDS


def test_the_numbers_are_tensorflows():
    from tensorflow.core.framework import types_pb2

    theirs = {n: v for n, v in types_pb2.DataType.items() if not n.endswith("_REF")}
    assert {kind.name: int(kind) for kind in DataType} == theirs


@pytest.mark.parametrize("kind", FIXED_KINDS, ids=lambda kind: kind.name)
def test_numpy_types_are_tensorflows(kind):
    import tensorflow as tf

    theirs = tf.as_dtype(int(kind))
    ours = numpy_dtype(kind)
    if theirs.is_quantized:
        assert datatype_of(kind.name.removeprefix("DT_").lower()) == kind
    else:
        assert ours == theirs.as_numpy_dtype
        assert datatype_of(ours) == kind
    assert itemsize(kind) == ours.itemsize


@pytest.mark.parametrize("dtype", ["S5", "U3", object, "O", "string", np.str_, bytes])
def test_every_kind_of_string_is_a_string(dtype):
    assert datatype_of(dtype) == DataType.DT_STRING
    assert numpy_dtype(DataType.DT_STRING) == np.dtype(object)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "float32", np.float32, np.dtype("f4")])
def test_byte_orders_and_names_of_one_type(dtype):
    assert datatype_of(dtype) == DataType.DT_FLOAT


@pytest.mark.parametrize("dtype", ["M8[s]", "m8[ns]", "f4,i4", "V3", "nonsense", np.longdouble])
def test_other_types_are_refused(dtype):
    with pytest.raises(CheckpointUnsupportedError):
        datatype_of(dtype)


def test_what_has_no_numpy_type_says_what_it_is():
    with pytest.raises(CheckpointUnsupportedError, match="handle to something inside the program"):
        numpy_dtype(DataType.DT_RESOURCE)
    with pytest.raises(CheckpointUnsupportedError, match="opaque object of TensorFlow"):
        numpy_dtype(DataType.DT_VARIANT)
    with pytest.raises(CheckpointUnsupportedError, match=r"DT_77 .*does not know"):
        numpy_dtype(77)


def test_an_older_ml_dtypes(monkeypatch):
    import ml_dtypes

    numpy_dtype.cache_clear()
    monkeypatch.delattr(ml_dtypes, "float4_e2m1fn", raising=False)
    try:
        with pytest.raises(CheckpointUnsupportedError, match="upgrade ml_dtypes"):
            numpy_dtype(DataType.DT_FLOAT4_E2M1FN)
    finally:
        numpy_dtype.cache_clear()
