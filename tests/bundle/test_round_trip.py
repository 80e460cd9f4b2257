"""What is written is what is read, for every kind, shape, layout and way of reading."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.bundle import (
    BundleReader,
    DataType,
    ValueToWrite,
    numpy_dtype,
    parallel,
    write_bundle,
)
from checkpointable.bundle.format import ALIGNED_SIZE
from checkpointable.errors import (
    CheckpointMismatchError,
    CheckpointNotFoundError,
    CheckpointUnsupportedError,
)
from tests.bundle.helpers import (
    CHUNK_SIZES,
    FIXED_KINDS,
    REPEATABLE,
    a_few,
    same,
    save,
    strings,
    values_to_write,
)

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@st.composite
def arrays(draw):
    kind = draw(st.sampled_from(FIXED_KINDS))
    shape = draw(shapes)
    dtype = numpy_dtype(kind)
    size = int(np.prod(shape)) * dtype.itemsize
    data = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8)
    if kind == DataType.DT_BOOL:
        data = data & 1
    array = data.view(dtype).reshape(shape).copy()
    layout = draw(st.sampled_from(["C", "F", "strided", "reversed", "swapped"]))
    if layout == "F":
        array = np.asfortranarray(array)
    elif layout == "strided" and shape:
        wide = np.zeros((*shape[:-1], shape[-1] * 2), dtype)
        wide[..., ::2] = array
        array = wide[..., ::2]
    elif layout == "reversed" and shape:
        array = array[::-1]
    elif layout == "swapped" and dtype.isbuiltin == 1:
        array = array.astype(dtype.newbyteorder("S"))
    return kind, array


string_values = st.one_of(
    st.binary(max_size=200).map(lambda b: np.array(b, object)),
    st.lists(st.binary(max_size=200), max_size=5).map(lambda b: strings(*b)),
    st.lists(st.text(max_size=9), min_size=2, max_size=2).map(lambda t: np.array([t], object)),
).map(lambda array: (DataType.DT_STRING, array))


def as_stored(kind, array):
    if kind != DataType.DT_STRING:
        return array.astype(numpy_dtype(kind))
    flat = [e.encode() if isinstance(e, str) else e for e in array.reshape(-1)]
    return strings(*flat).reshape(array.shape)


@settings(REPEATABLE, max_examples=120)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
        st.one_of(arrays(), string_values),
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_every_value_comes_back(tmp_path_factory, values, random):
    prefix = tmp_path_factory.mktemp("round") / "ck"
    written = [
        ValueToWrite(key, kind, array.shape, lambda array=array: array)
        for key, (kind, array) in values.items()
    ]
    random.shuffle(written)
    write_bundle(prefix, written, durability="flush")
    with BundleReader(prefix) as reader:
        assert reader.keys() == sorted(values, key=str.encode)
        assert len(reader) == len(values)
        for key, (kind, array) in values.items():
            wanted = as_stored(kind, array)
            assert same(reader.get_tensor(key), wanted)
            assert reader.dtype(key) == numpy_dtype(kind)
            assert reader.shape(key) == array.shape
            assert reader.entry(key).dtype == kind
            if kind != DataType.DT_STRING:
                assert same(reader.view(key), wanted)
                assert reader.get_bytes(key) == np.ascontiguousarray(wanted).tobytes()
        for verify in (False, "stream", True):
            into = {key: np.zeros(reader.shape(key), reader.dtype(key)) for key in values}
            reader.read_into(into.items(), verify)
            assert all(same(into[k], as_stored(*values[k])) for k in values)
        reader.check(values)
        assert reader.verify() == []


@pytest.fixture
def large(monkeypatch):
    """Small chunks, so that values of some kilobytes take the ways of large ones."""
    for name in CHUNK_SIZES:
        monkeypatch.setattr(f"checkpointable.bundle.{name}", 4096)
    monkeypatch.setattr("checkpointable.bundle.writing.values.GATHERED_SIZE", 512)
    monkeypatch.setattr(parallel, "_PARALLEL_SIZE", 0)


def many():
    """Around every limit: a chunk, a gathered buffer, the alignment."""
    random = np.random.default_rng(3)
    sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 8192, 12_289, 70_000]
    values = {f"u{i:02d}": random.integers(0, 255, n, np.uint8) for i, n in enumerate(sizes)}
    values |= {f"f{i}": random.random((n, 3), np.float32) for i, n in enumerate((1, 40, 2000))}
    values["transposed"] = random.random((90, 70)).T
    values["rows"] = random.random((3, 4000)).astype(np.float32)[:, ::2]
    values["swapped"] = random.random(5000).astype(">f8")
    values["text"] = strings(b"x" * 300, b"", b"y" * 20_000)
    return values


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_chunks_and_threads_change_nothing(tmp_path, large, monkeypatch, threads):
    values = many()
    prefix = save(tmp_path / "chunks", values, threads=threads)
    with BundleReader(prefix) as reader:
        assert reader.verify() == []
        reader.check(values, threads)
        for verify in (False, "stream", True):
            into = {k: np.zeros(v.shape, reader.dtype(k)) for k, v in values.items()}
            into["f2"] = np.zeros((2000, 6), np.float32)[:, ::2]  # not contiguous
            reader.read_into(into.items(), verify, threads)
            for key, value in values.items():
                assert (into[key] == value).all(), key
    monkeypatch.undo()
    plain = save(tmp_path / "plain", values, threads=1)
    for ending in (".index", ".data-00000-of-00001"):
        assert Path(prefix + ending).read_bytes() == Path(plain + ending).read_bytes()


def test_the_order_of_the_values_changes_nothing(tmp_path):  # S13
    values = many() | a_few()
    one = save(tmp_path / "one", values)
    other = save(tmp_path / "other", dict(reversed(values.items())))
    for ending in (".index", ".data-00000-of-00001"):
        assert Path(one + ending).read_bytes() == Path(other + ending).read_bytes()


def test_large_values_are_aligned_and_small_ones_to_their_items(tmp_path):
    values = {
        "a": np.zeros(3, np.uint8),
        "b": np.ones(2, np.float64),
        "c": np.ones(ALIGNED_SIZE // 4, np.float32),
        "d": np.ones(1, np.uint8),
        "e": np.ones(ALIGNED_SIZE - 4, np.uint8),
    }
    with BundleReader(save(tmp_path / "ck", values)) as reader:
        offsets = [reader.entry(key).offset for key in values]
        assert offsets == [0, 8, 64, 64 + ALIGNED_SIZE, 65 + ALIGNED_SIZE]
        for key, value in values.items():
            view = reader.view(key)
            assert view.flags.aligned
            assert not view.flags.writeable
            assert same(view, value)
        assert reader.view("c").ctypes.data % 64 == 0


def test_values_are_read_late_and_in_the_order_of_their_keys(tmp_path):
    seen = []

    def reading(key, value):
        return ValueToWrite(key, DataType.DT_INT8, (2,), lambda: seen.append(key) or value)

    write_bundle(
        tmp_path / "ck",
        [reading(key, np.ones(2, np.int8)) for key in "cab"],
        durability="flush",
        progress=lambda done, total, key: seen.append((done, total, key)),
    )
    assert seen == ["a", "b", "c", (6, 6, "c")]


def test_progress_reaches_the_total(tmp_path, large):
    values, seen = many(), []
    total = sum(v.nbytes for k, v in values.items() if k != "text") + 20_300 + 1 + 2 + 3 + 4
    save(tmp_path / "ck", values, progress=lambda *step: seen.append(step))
    assert seen[-1][:2] == (total, total)
    assert [step[0] for step in seen] == sorted(step[0] for step in seen)
    checked = []
    with BundleReader(tmp_path / "ck") as reader:
        reader.verify(lambda *step: checked.append(step))
    assert checked[-1][:2] == (total, total)


# -- what does not fit ---------------------------------------------------------------------


def value_to_write(key="k", dtype=DataType.DT_FLOAT, shape=(2,), value=None):
    return ValueToWrite(key, dtype, shape, lambda: np.ones(2, "f4") if value is None else value)


@pytest.mark.parametrize(
    ("bad", "error", "what"),
    [
        (
            value_to_write(shape=(3,)),
            CheckpointMismatchError,
            r"'k': .*shape \(3,\).*it has \(2,\)",
        ),
        (
            value_to_write(dtype=DataType.DT_INT32),
            CheckpointMismatchError,
            "DT_INT32.*dtype float32",
        ),
        (value_to_write(value=np.ones(2)), CheckpointMismatchError, "DT_FLOAT.*dtype float64"),
        (
            value_to_write(dtype=DataType.DT_STRING, value=np.array([1, b""], object)),
            CheckpointMismatchError,
            "element of type int cannot be stored",
        ),
        (
            value_to_write(dtype=DataType.DT_STRING, value=np.array(["\udc80", ""], object)),
            CheckpointMismatchError,
            "cannot be stored as UTF-8",
        ),
        (value_to_write(dtype=DataType.DT_VARIANT), CheckpointMismatchError, "DT_VARIANT"),
        (value_to_write(dtype=DataType.DT_RESOURCE), CheckpointUnsupportedError, "DT_RESOURCE"),
        (value_to_write(key="\udc80"), CheckpointUnsupportedError, "UTF-8"),
        (value_to_write(key=""), ValueError, "key is empty"),
        (value_to_write(shape=(2**61, 8)), ValueError, "is invalid or too large"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, bad, error, what):
    with pytest.raises(error, match=what):
        write_bundle(tmp_path / "ck", [value_to_write("a"), bad], durability="flush")
    assert os.listdir(tmp_path) == []


def test_a_key_twice(tmp_path):
    with pytest.raises(ValueError, match="two values have the key 'k'"):
        write_bundle(tmp_path / "ck", [value_to_write(), value_to_write()])


def test_odd_arguments(tmp_path):
    with pytest.raises(ValueError, match="durability is 'maybe'"):
        write_bundle(tmp_path / "ck", [], durability="maybe")
    with pytest.raises(ValueError, match="names a directory"):
        write_bundle(f"{tmp_path}/", [])
    with pytest.raises(ValueError, match="threads is 0"):
        write_bundle(tmp_path / "ck", [], threads=0)


def test_arrays_that_do_not_fit_are_all_left_alone(tmp_path):  # S25
    with BundleReader(save(tmp_path / "ck", a_few())) as reader:
        good = np.full(3, 9, np.float32)
        read_only = np.zeros((), np.int64)
        read_only.flags.writeable = False
        for key, array, what in [
            ("kernel", np.zeros((4, 3), np.int16), r"int16 of shape \(3, 4\).*int16 of shape \(4"),
            ("kernel", np.zeros((3, 4), np.int32), r"int16 of shape.*int32 of shape"),
            ("kernel", np.zeros((3, 4), ">i2"), "int16"),
            ("step", read_only, "read-only"),
        ]:
            with pytest.raises(CheckpointMismatchError, match=what) as caught:
                reader.read_into([("bias", good), (key, array)])
            assert caught.value.key == key
            assert (good == 9).all()
        with pytest.raises(TypeError, match="list is not an array"):
            reader.read_into([("bias", [1, 2, 3])])


def test_a_key_that_is_not_there_names_similar_ones(tmp_path):
    with BundleReader(save(tmp_path / "ck", a_few())) as reader:
        for ask in (
            reader.get_tensor,
            reader.get_bytes,
            reader.view,
            reader.entry,
            reader.dtype,
            reader.shape,
            lambda key: reader.check([key]),
            lambda key: reader.read_into([(key, np.zeros(3, np.float32))]),
        ):
            with pytest.raises(CheckpointNotFoundError, match="similar ones are 'kernel'") as e:
                ask("kernels")
            assert e.value.key == "kernels"
        assert "kernel" in reader
        assert "kernels" not in reader
        assert 3 not in reader


def test_views_and_files_outlive_the_reader_and_the_names(tmp_path):
    prefix = save(tmp_path / "ck", many())
    reader = BundleReader(prefix)
    view = reader.view("f2")
    for name in os.listdir(tmp_path):
        os.unlink(tmp_path / name)
    assert same(reader.get_tensor("u05"), many()["u05"])
    reader.close()
    reader.close()
    assert same(view, many()["f2"])


def test_strings_have_no_view(tmp_path):
    refused = pytest.raises(CheckpointUnsupportedError, match="strings cannot be mapped")
    with BundleReader(save(tmp_path / "ck", a_few())) as reader, refused:
        reader.view("name")


def test_a_reader_serves_several_threads(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    values = many()
    with BundleReader(save(tmp_path / "ck", values)) as reader, ThreadPoolExecutor(4) as pool:
        for key, array in zip(values, pool.map(reader.get_tensor, values), strict=True):
            assert (array == values[key]).all()


def test_strings_and_values_keep_to_what_was_declared(tmp_path):
    values_ = values_to_write({"s": np.array(["é", b"x"], object)})
    write_bundle(tmp_path / "ck", values_, durability="flush")
    with BundleReader(tmp_path / "ck") as reader:
        assert reader.get_tensor("s").tolist() == ["é".encode(), b"x"]
