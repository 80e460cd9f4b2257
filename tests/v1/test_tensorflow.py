"""V1 files of TensorFlow: every kind of value, parts and shards, as its own reader reads them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import checkpointable as cp
from tests.v1.helpers import (
    DTYPES,
    QUANTIZED,
    compare,
    same,
    shards,
    strings,
    write_slices,
    write_v1,
)

SHAPES = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda dtype: npst.arrays(dtype, SHAPES))
STRINGS = st.lists(st.binary(max_size=200)).map(lambda items: strings(*items))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9),
        ARRAYS | STRINGS,
        min_size=1,
        max_size=6,
    )
)
def test_what_tensorflow_writes(values):
    with tempfile.TemporaryDirectory() as directory:
        path = write_v1(Path(directory) / "model.ckpt", values)
        compare(path)
        with cp.load_checkpoint(path) as reader:
            for name, value in values.items():
                same(reader.get_tensor(name), value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_limits_of_every_kind(dtype, tmp_path):
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        array = np.array([limits.min, limits.max, 0, 1, 127, limits.max // 2], kind)
    elif kind.kind == "b":
        array = np.array([True, False, True])
    else:
        real = np.finfo(kind)
        array = np.array([real.min, real.max, real.tiny, -0.0, np.inf, -np.inf, np.nan], kind)
        if kind.kind == "c":
            array.imag = array.real[::-1]
    values = {"v": array, "scalar": array[0], "empty": array[:0]}
    path = write_v1(tmp_path / "m", values)
    compare(path)
    with cp.load_checkpoint(path) as reader:
        for name, value in values.items():
            same(reader.get_tensor(name), value)


@pytest.mark.parametrize("dtype", QUANTIZED)
def test_quantized_values_are_their_integers(dtype, tmp_path):
    array = np.array([[0, 1], [100, 127]], QUANTIZED[dtype])
    path = write_v1(tmp_path / "m", {"v": tf.bitcast(tf.constant(array), tf.as_dtype(dtype))})
    with cp.load_checkpoint(path) as reader:
        assert reader.stored("v").dtype == dtype
        same(reader.get_tensor("v"), array)


def test_large_values_of_several_blocks(tmp_path):
    rng = np.random.default_rng(1)
    values = {
        "noise": rng.normal(size=(700, 300)).astype(np.float32),  # does not compress
        "zeros": np.zeros((1000, 300), np.float32),  # does
        "numbers": rng.integers(-(2**63), 2**63 - 1, 300_000),
        "small": rng.integers(-9, 9, 2_000_000).astype(np.int8),
        **{f"many/{i:04d}": np.array(i, np.int32) for i in range(3000)},
    }
    path = write_v1(tmp_path / "m", values)
    with cp.load_checkpoint(path) as reader:
        for name, value in values.items():
            same(reader.get_tensor(name), value)
        assert reader.verify() == []


def test_progress_ends_where_it_should(tmp_path):
    path = write_v1(tmp_path / "m", {f"v{i}": np.zeros(9000, np.int8) for i in range(99)})
    seen = []
    with cp.load_checkpoint(path) as reader:
        reader.verify(lambda *step: seen.append(step))
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert seen[-1][0] == seen[-1][1] == Path(path).stat().st_size


# -- parts and shards --------------------------------------------------------------------------


def test_partitioned_values(tmp_path):
    whole = np.arange(24, dtype=np.float64).reshape(6, 4)
    path = write_slices(
        tmp_path / "m",
        [
            ("a", "6 4 0,2:-", whole[:2]),
            ("a", "6 4 2,4:0,1", whole[2:, :1]),
            ("a", "6 4 2,4:1,3", whole[2:, 1:]),
            ("plain", "", whole),
        ],
    )
    restored = tf.raw_ops.RestoreSlice(
        file_pattern=path, tensor_name="a", shape_and_slice="", dt=tf.float64
    )
    with cp.load_checkpoint(path) as reader:
        same(reader.get_tensor("a"), restored.numpy())
        same(reader.get_tensor("a"), whole)
        target = np.zeros((6, 4))
        reader.read_into([("a", target)], verify=True)
        same(target, whole)
        assert reader.verify() == []


@pytest.mark.parametrize("name", ["m", "m-?????-of-00002", "m-?????-of-?????"])
def test_several_files(name, tmp_path):
    whole = np.arange(24, dtype=np.int32).reshape(6, 4)
    shards(tmp_path, whole)
    path = str(tmp_path / name)
    with cp.load_checkpoint(path) as reader:
        assert reader.keys() == ["a", "only/0", "only/1"]
        same(reader.get_tensor("a"), whole)
        same(reader.get_tensor("only/1"), whole[1])
        assert reader.verify() == []
        assert len(reader._contents.tables) == 2


def test_one_of_several_files_is_missing(tmp_path):  # S33
    shards(tmp_path, np.zeros((6, 4), np.float32))
    (tmp_path / "m-00001-of-00002").unlink()
    with pytest.raises(cp.CheckpointCorruptError, match=r"of its 2 files 00001 .* are missing"):
        cp.load_checkpoint(tmp_path / "m")
    # By itself the other is a checkpoint that lacks rows.
    with cp.load_checkpoint(tmp_path / "m-00000-of-00002") as reader:
        same(reader.get_tensor("only/0"), np.zeros(4, np.float32))
        for read in (reader.get_tensor, lambda key: reader.check([key])):
            with pytest.raises(cp.CheckpointCorruptError, match="1 parts do not cover"):
                read("a")
        assert [damage.key for damage in reader.verify()] == ["a"]


def test_files_of_two_numbers_of_shards(tmp_path):
    shards(tmp_path, np.zeros((6, 4), np.float32))
    shutil.copy(tmp_path / "m-00000-of-00002", tmp_path / "m-00000-of-00001")
    with pytest.raises(cp.CheckpointCorruptError, match=r"files of 1, 2 shards"):
        cp.load_checkpoint(tmp_path / "m")
    with cp.load_checkpoint(tmp_path / "m-?????-of-00002") as reader:
        assert reader.shape("a") == (6, 4)
