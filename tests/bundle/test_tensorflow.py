"""Against TensorFlow: it reads what we write, we read what it writes (docs/format.md)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from checkpointable.bundle import (
    BundleReader,
    DataType,
    Entry,
    Header,
    ValueToWrite,
    encode_index,
    numpy_dtype,
    write_bundle,
    write_index,
)
from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.bundle.slices import slice_key
from checkpointable.errors import CheckpointCorruptError, CheckpointUnsupportedError
from checkpointable.wire.varints import encode_varint
from tests.bundle.helpers import FIXED_KINDS, same, save, strings


@pytest.fixture(scope="module")
def tf():
    import tensorflow as tf

    return tf


def tf_save(tf, prefix, values, slices=None):
    tensors = [
        v if tf.is_tensor(v) else tf.constant(v, tf.string if v.dtype == object else None)
        for v in values.values()
    ]
    names = [name.split("@")[0] for name in values]
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=slices or [""] * len(names),
        tensors=tensors,
    )
    return str(prefix)


def tf_load(tf, prefix, key, kind):
    (tensor,) = tf.raw_ops.RestoreV2(
        prefix=str(prefix),
        tensor_names=[key],
        shape_and_slices=[""],
        dtypes=[tf.as_dtype(int(kind))],
    )
    return tensor


def bits(array):
    return np.ascontiguousarray(array).tobytes()


def sample(kind, shape):
    dtype = numpy_dtype(kind)
    random = np.random.default_rng(int(kind))
    data = random.integers(0, 256, int(np.prod(shape)) * dtype.itemsize, np.uint8)
    if kind == DataType.DT_BOOL:
        data &= 1
    elif dtype.name in {"int4", "uint4", "float4_e2m1fn"}:
        data &= 0x0F
    elif dtype.name in {"int2", "uint2"}:
        data &= 0x03
    return data.view(dtype).reshape(shape)


SHAPES = [(), (0,), (5,), (3, 0, 2), (2, 3, 4), (40, 50)]


def test_tensorflow_reads_every_kind_and_shape_that_we_write(tf, tmp_path):
    values = {
        f"{kind.name}/{shape}": (kind, sample(kind, shape))
        for kind in FIXED_KINDS
        for shape in SHAPES
    }
    write_bundle(
        tmp_path / "ck",
        [ValueToWrite(k, kind, v.shape, lambda v=v: v) for k, (kind, v) in values.items()],
        durability="flush",
    )
    for key, (kind, value) in values.items():
        tensor = tf_load(tf, tmp_path / "ck", key, kind)
        assert tensor.dtype == tf.as_dtype(int(kind))
        assert tuple(tensor.shape) == value.shape
        if not tensor.dtype.is_quantized:
            assert bits(tensor.numpy()) == bits(value), key
        else:
            plain = tf.bitcast(tensor, tf.as_dtype(numpy_dtype(kind)))
            assert bits(plain.numpy()) == bits(value), key


def test_we_read_every_kind_and_shape_that_tensorflow_writes(tf, tmp_path):
    values, tensors = {}, {}
    for kind in FIXED_KINDS:
        for shape in SHAPES:
            key = f"{kind.name}/{shape}"
            values[key] = sample(kind, shape)
            theirs = tf.as_dtype(int(kind))
            tensors[key] = (
                tf.bitcast(tf.constant(values[key]), theirs)
                if theirs.is_quantized
                else tf.constant(values[key], theirs)
            )
    prefix = tf_save(tf, tmp_path / "ck", tensors)
    with BundleReader(prefix) as reader:
        assert reader.verify() == []
        assert reader.keys() == sorted(values)
        for key, value in values.items():
            assert same(reader.get_tensor(key), value), key


STRINGS = {
    "scalar": np.array(b"hello", object),
    "empty scalar": np.array(b"", object),
    "none": strings(),
    "some": strings(b"a", b"", b"x" * 127, b"y" * 128, b"\0\xff"),
    "square": strings(b"1", b"2", b"3", b"4").reshape(2, 2),
    "long": np.array(bytes(300_000), object),
}


def test_strings_both_ways(tf, tmp_path):
    theirs, ours = tf_save(tf, tmp_path / "tf", STRINGS), save(tmp_path / "ours", STRINGS)
    reader = tf.train.load_checkpoint(ours)
    with BundleReader(theirs) as a, BundleReader(ours) as b:
        assert a.verify() == b.verify() == []
        for key, value in STRINGS.items():
            assert same(a.get_tensor(key), value)
            assert (np.asarray(reader.get_tensor(key), object) == value).all()
            assert reader.get_variable_to_shape_map()[key] == list(value.shape)
            # The same bytes under the same checksum.
            one, other = a.entry(key), b.entry(key)
            assert (one.size, one.crc) == (other.size, other.crc)
            assert a.get_bytes(key) == b.get_bytes(key)
        assert a.get_tensor("scalar") == b"hello"
        assert isinstance(a.get_tensor("scalar"), bytes)


def test_without_gaps_the_files_are_tensorflows_to_the_byte(tf, tmp_path):  # S13
    values = {f"layer{i}/kernel": np.full((i % 9, 4), i, np.int64) for i in range(400)} | {
        "z/name": np.array(b"net", object)
    }
    values = dict(sorted(values.items()))  # TensorFlow writes them as they come
    theirs, ours = tf_save(tf, tmp_path / "tf", values), save(tmp_path / "ours", values)
    for ending in (".index", ".data-00000-of-00001"):
        assert Path(theirs + ending).read_bytes() == Path(ours + ending).read_bytes()


def test_an_index_of_several_blocks_is_tensorflows_to_the_byte(tf, tmp_path):
    one = tf.zeros([2])
    values = {
        f"model/layer_{i}/unit_{i % 7}/kernel/.ATTRIBUTES/VARIABLE_VALUE": one
        for i in range(12_000)
    }
    prefix = tf_save(tf, tmp_path / "ck", values)
    stored = Path(prefix + ".index").read_bytes()
    assert len(stored) > 2 * 256 * 1024
    with BundleReader(prefix) as reader:
        assert encode_index(reader.header, reader.raw_entries()) == stored
        assert reader.keys() == sorted(values)
        rewritten = [("new/" + key, entry) for key, entry in reader.raw_entries()]
        write_index(prefix + ".index", reader.header, rewritten, durability="flush")
    assert len(tf.train.list_variables(prefix)) == len(values)


def test_several_shards(tf, tmp_path):
    parts = []
    for i in range(3):
        values = {f"v{i}/{j}": np.full((j, 3), i * 10 + j, np.float32) for j in range(5)}
        parts.append(tf_save(tf, tmp_path / f"part{i}", values))
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=str(tmp_path / "ck"), delete_old_dirs=False
    )
    with BundleReader(tmp_path / "ck") as reader:
        assert reader.header.num_shards == 3
        assert reader.verify() == []
        into = {key: np.zeros(reader.shape(key), np.float32) for key in reader.keys()}
        reader.read_into(into.items(), verify=True)
        for i in range(3):
            for j in range(5):
                assert (into[f"v{i}/{j}"] == i * 10 + j).all()


def test_tensorflow_reads_a_bundle_that_was_written_over(tf, tmp_path):
    for round_ in range(4):
        prefix = save(tmp_path / "ck", {"v": np.full(round_ + 1, round_)})
        reader = tf.train.load_checkpoint(prefix)
        assert (reader.get_tensor("v") == np.full(round_ + 1, round_)).all()


# -- partitioned values --------------------------------------------------------------------


def test_partitioned_values(tf, tmp_path):
    starts = [0, 1, 63, 64, 65, 127, 128, 8191, 8192, 16_384, 1_048_576, 1_100_000]
    whole = np.random.default_rng(0).integers(0, 255, starts[-1], np.uint8)
    values, slices = {}, []
    for a, b in itertools.pairwise(starts):
        values[f"v\0é@{a}"] = whole[a:b]
        slices.append(f"{len(whole)} {a},{b - a}")
    grid = np.arange(12.0).reshape(3, 4)
    values |= {"w@0": grid[:, :1], "w@1": grid[:, 1:], "z": np.ones(2)}
    slices += ["3 4 -:0,1", "3 4 0,3:1,3", ""]
    prefix = tf_save(tf, tmp_path / "ck", values, slices)
    with BundleReader(prefix) as reader:
        assert reader.keys() == ["v\0é", "w", "z"]
        assert reader.shape("w") == (3, 4)
        assert same(reader.get_tensor("v\0é"), whole)
        assert same(reader.get_tensor("w"), grid)
        into = np.zeros((4, 3)).T
        reader.read_into([("w", into)], verify=True)
        assert (into == grid).all()
        reader.read_into([("w", into[...])], verify="stream")
        assert reader.verify() == []
        reader.check(["w"])
        for refused in (reader.view, reader.get_bytes):
            with pytest.raises(CheckpointUnsupportedError, match="partitioned"):
                refused("w")
        stored = Path(prefix + ".index").read_bytes()
        assert encode_index(reader.header, reader.raw_entries()) == stored


def test_partitioned_variables_of_tf1(tf, tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable(
            "p",
            shape=(10, 2),
            initializer=lambda shape, dtype, partition_info: tf.reshape(
                tf.range(20.0)[2 * partition_info.var_offset[0] :][: 2 * shape[0]], shape
            ),
            partitioner=v1.fixed_size_partitioner(3),
            use_resource=False,
        )
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(tmp_path / "ck"), write_meta_graph=False)
    with BundleReader(prefix) as reader:
        assert reader.keys() == ["p"]
        assert same(reader.get_tensor("p"), np.arange(20, dtype=np.float32).reshape(10, 2))


def partitioned(tmp_path, extents, shape=(4,), parts=None, size=0):
    """A value of bytes in parts, of which `parts` are stored."""
    data = bytes(range(8))
    entries = [("v", Entry(DataType.DT_UINT8, shape, 0, 0, size, 0, tuple(extents)))]
    offset = 0
    for extent in parts or extents:
        ((start, length),) = extent
        length = shape[0] - start if length == -1 else length
        body = data[offset : offset + length]
        entry = Entry(DataType.DT_UINT8, (length,), 0, offset, length, mask(crc32c(body)))
        entries.append((slice_key("v", extent), entry))
        offset += length
    write_index(tmp_path / "ck.index", Header(), dict(entries).items(), durability="flush")
    (tmp_path / "ck.data-00000-of-00001").write_bytes(data[:offset])
    return tmp_path / "ck"


def test_parts_that_do_not_fit(tmp_path):
    one, two = ((0, 2),), ((2, 2),)
    with BundleReader(partitioned(tmp_path, [one, two])) as reader:
        assert reader.get_tensor("v").tolist() == [0, 1, 2, 3]
    for extents, parts, what in [
        ([one, two], [one], "is not in the index"),
        ([((0, 5),)], None, "does not fit its shape"),
        ([((0, 2), (0, 1))], [one], "does not fit its shape"),
        ([((5, -1),)], [one], "does not fit its shape"),
    ]:
        with pytest.raises(CheckpointCorruptError, match=what) as caught:
            BundleReader(partitioned(tmp_path, extents, parts=parts))
        assert caught.value.key == "v"
    with pytest.raises(CheckpointCorruptError, match="both parts and bytes"):
        BundleReader(partitioned(tmp_path, [one, two], size=4))
    for extents in ([one], [one, ((1, 2),)], [one, one]):
        with BundleReader(partitioned(tmp_path, extents)) as reader:
            with pytest.raises(CheckpointCorruptError, match="do not cover the shape"):
                reader.get_tensor("v")
            with pytest.raises(CheckpointCorruptError, match="do not cover the shape"):
                reader.read_into([("v", np.zeros(4, np.uint8))])
            assert reader.verify()[-1].key == "v"


# -- big-endian files ----------------------------------------------------------------------


def big_endian(prefix):
    """A bundle as a big-endian machine writes it, and its values."""
    values = {
        "bfloat": sample(DataType.DT_BFLOAT16, (3,)),
        "bytes": np.arange(5, dtype=np.uint8),
        "complex": np.array([1 + 2j, 3 - 4j], np.complex64),
        "double": np.arange(6.0).reshape(2, 3),
        "large": np.arange(700_000, dtype=np.int32),
        "names": strings(b"a", b"hello" * 50, b""),
    }
    data, entries = b"", []
    for key, value in values.items():
        if value.dtype == object:
            lengths = b"".join(len(e).to_bytes(4, "big") for e in value)
            checksum = mask(crc32c(lengths)).to_bytes(4, "big")
            stored = b"".join(encode_varint(len(e)) for e in value) + checksum + b"".join(value)
            crc = crc32c(lengths + checksum + b"".join(value))
            kind = DataType.DT_STRING
        else:
            width = value.itemsize // (2 if value.dtype.kind == "c" else 1)
            stored = value.view(f"u{width}").byteswap().tobytes()
            crc = crc32c(stored)
            kind = next(k for k in FIXED_KINDS if numpy_dtype(k) == value.dtype)
        entries.append((key, Entry(kind, value.shape, 0, len(data), len(stored), mask(crc))))
        data += stored
    write_index(f"{prefix}.index", Header(big_endian=True), entries, durability="flush")
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return values


def test_big_endian_files(tf, tmp_path):
    values = big_endian(tmp_path / "ck")
    theirs = tf.train.load_checkpoint(str(tmp_path / "ck"))
    with BundleReader(tmp_path / "ck") as reader:
        assert reader.header.big_endian
        assert reader.verify() == []
        into = {key: np.zeros(value.shape, value.dtype) for key, value in values.items()}
        reader.read_into(into.items(), verify="stream")
        for key, value in values.items():
            assert same(reader.get_tensor(key), value)
            assert same(into[key], value)
            # The judge of what such a file means; it cannot read this kind there.
            assert key == "bfloat" or (theirs.get_tensor(key) == value).all()
        assert same(reader.view("bytes"), values["bytes"])
        with pytest.raises(CheckpointUnsupportedError, match="another machine's byte order"):
            reader.view("double")


# -- kinds without a NumPy type ------------------------------------------------------------


def test_variants_are_listed_verified_and_copied(tf, tmp_path):
    handle = tf.raw_ops.TensorListReserve(
        element_shape=[2], num_elements=3, element_dtype=tf.float32
    )
    prefix = tf_save(tf, tmp_path / "ck", {"a": np.ones(3), "v": tf.stack([handle, handle])})
    with BundleReader(prefix) as reader:
        assert reader.verify() == []
        reader.check(["a", "v"])
        assert reader.shape("v") == (2,)
        assert len(reader.get_bytes("v")) == reader.entry("v").size
        for refused in (reader.get_tensor, reader.dtype, reader.view):
            with pytest.raises(CheckpointUnsupportedError, match="DT_VARIANT is an opaque") as e:
                refused("v")
            assert e.value.key == "v"
    data = Path(prefix + ".data-00000-of-00001")
    stored = bytearray(data.read_bytes())
    for at in range(24, len(stored)):
        stored[at] ^= 1
        data.write_bytes(stored)
        with BundleReader(prefix) as reader:
            assert [damage.key for damage in reader.verify()] == ["v"], at
        stored[at] ^= 1


def test_an_iterators_state(tf, tmp_path):
    iterator = iter(tf.data.Dataset.range(100).shuffle(10).batch(3))
    next(iterator)
    prefix = tf.train.Checkpoint(it=iterator).write(str(tmp_path / "ck"))
    with BundleReader(prefix) as reader:
        assert reader.verify() == []
        assert reader.entry("it/.ATTRIBUTES/ITERATOR_STATE").dtype == DataType.DT_VARIANT


@pytest.mark.parametrize(("kind", "what"), [(20, "handle to something inside"), (99, "DT_99")])
def test_resources_and_newer_kinds_are_listed_but_not_read(tmp_path, kind, what):
    entry = Entry(DataType(kind), (), 0, 0, 3, mask(crc32c(b"abc")))
    write_index(tmp_path / "ck.index", Header(), [("r", entry)], durability="flush")
    (tmp_path / "ck.data-00000-of-00001").write_bytes(b"abc")
    with BundleReader(tmp_path / "ck") as reader:
        assert reader.keys() == ["r"]
        assert reader.entry("r") == entry
        assert reader.verify() == []
        assert reader.get_bytes("r") == b"abc"
        with pytest.raises(CheckpointUnsupportedError, match=what):
            reader.get_tensor("r")
