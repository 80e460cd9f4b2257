"""V1 files of TensorFlow: every kind of value, parts, shards, and restoring by name (S32, S38)."""

from __future__ import annotations

import os
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
from checkpointable.bundle import BundleReader
from checkpointable.bundle.v1 import V1Reader
from checkpointable.bundle.v1_contents import V1Contents
from tests.v1.helpers import DTYPES, QUANTIZED, strings, write_slices, write_v1

tf1 = tf.compat.v1


def same(ours, theirs):
    ours = np.asarray(ours, object) if isinstance(ours, bytes) else ours
    theirs = np.asarray(theirs, object) if isinstance(theirs, bytes) else theirs
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes() if ours.dtype != object else (ours == theirs).all()


def theirs_can_read(path, key):
    """TensorFlow's reader takes neither parts nor every kind that its writer takes."""
    try:
        tf.train.load_checkpoint(path).get_tensor(key)
    except tf.errors.UnimplementedError:
        return False
    return True


def compare(path):
    """Everything that TensorFlow's reader says, ours says."""
    theirs = tf.train.load_checkpoint(path)
    shapes = theirs.get_variable_to_shape_map()
    with cp.load_checkpoint(path) as ours:
        assert isinstance(ours, V1Reader)
        assert ours.keys() == list(ours) == sorted(shapes)
        assert len(ours) == len(shapes)
        for key, shape in shapes.items():
            assert key in ours
            assert list(ours.shape(key)) == list(ours.entry(key).shape) == shape
            assert ours.entry(key).dtype == theirs.get_variable_to_dtype_map()[key].as_datatype_enum
            if theirs_can_read(path, key):
                same(ours.get_tensor(key), theirs.get_tensor(key))
        ours.check(ours)
        assert ours.verify() == []
    assert [(k, list(s)) for k, s in cp.list_variables(path)] == tf.train.list_variables(path)


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
        assert reader.entry("v").dtype.name == f"DT_{dtype.upper()}"
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


def shards(directory, whole):
    """Parts of "a" in two files, and a value in each."""
    for shard, rows in enumerate((slice(0, 2), slice(2, 6))):
        write_slices(
            directory / f"m-{shard:05d}-of-00002",
            [
                ("a", f"6 4 {rows.start},{rows.stop - rows.start}:-", whole[rows]),
                (f"only/{shard}", "", whole[shard]),
            ],
        )


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
        assert reader.header.num_shards == 2


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


# -- as users have them ------------------------------------------------------------------------


def graph_mode(save, *, devices=1):
    """Runs `save(session, variables)` in a graph with some variables."""
    config = tf1.ConfigProto(device_count={"CPU": devices})
    with tf.Graph().as_default(), tf1.Session(config=config) as session:
        with tf.device("/cpu:0"):
            weights = tf1.get_variable(
                "net/w",
                (6, 4),
                initializer=tf1.random_uniform_initializer(seed=1),
                partitioner=tf1.fixed_size_partitioner(3),
                use_resource=False,
            )
        with tf.device(f"/cpu:{devices - 1}"):
            tf1.get_variable("net/b", initializer=tf.constant([1.0, 2.0]), use_resource=False)
        tf1.get_variable("step", initializer=tf.constant(7, tf.int64), use_resource=False)
        session.run(tf1.global_variables_initializer())
        return save(session), session.run(tf.concat(list(weights), 0))


V1 = tf1.train.SaverDef.V1


@pytest.mark.parametrize("sharded", [False, True])
def test_a_saver_of_tensorflow_1(sharded, tmp_path):  # S38
    def save(session):
        saver = tf1.train.Saver(write_version=V1, sharded=sharded)
        return saver.save(session, str(tmp_path / "model.ckpt"), global_step=3)

    path, weights = graph_mode(save, devices=2 if sharded else 1)
    assert cp.latest_checkpoint(tmp_path) == path == tf.train.latest_checkpoint(str(tmp_path))
    compare(path)
    with cp.load_checkpoint(tmp_path) as reader:  # the directory's latest
        same(reader.get_tensor("net/w"), weights)


def program():
    return cp.Checkpoint(
        w=cp.Variable(np.zeros((6, 4), np.float32), name="net/w"),
        b=cp.Variable(np.zeros(2, np.float32), name="net/b"),
        step=cp.Variable(0, name="step"),
    )


@pytest.fixture
def trained(tmp_path):
    """(path, weights) of a checkpoint of TensorFlow 1."""
    return graph_mode(
        lambda session: tf1.train.Saver(write_version=V1).save(session, str(tmp_path / "old"))
    )


def test_restoring_by_names_and_saving_anew(trained, tmp_path):  # S38
    path, weights = trained
    checkpoint = program()
    status = checkpoint.restore(path)
    assert isinstance(status, cp.NameBasedSaverStatus)
    assert int(checkpoint.step) == 0
    status.run_restore_ops()
    status.assert_consumed()
    same(checkpoint.w.numpy(), weights)
    assert int(checkpoint.step) == 7

    again = program()
    again.restore(checkpoint.save(tmp_path / "new")).assert_consumed()
    same(again.w.numpy(), weights)


def test_the_saver_restores_it(trained):  # S40
    path, weights = trained
    checkpoint = program()
    cp.Saver([checkpoint.w, checkpoint.b]).restore(path)
    same(checkpoint.w.numpy(), weights)
    assert checkpoint.b.numpy().tolist() == [1.0, 2.0]
    missing = cp.Variable(0.0, name="elsewhere")
    with pytest.raises(cp.CheckpointMismatchError, match="elsewhere"):
        cp.Saver([missing]).restore(path)


def test_another_shape_changes_nothing(trained):  # S25
    checkpoint = program()
    checkpoint.b = cp.Variable(np.zeros(3, np.float32), name="net/b")
    status = checkpoint.restore(trained[0])
    with pytest.raises(cp.CheckpointMismatchError, match=r"b: shape \(2,\) in the checkpoint"):
        status.run_restore_ops()
    assert not checkpoint.w.numpy().any()


def test_it_has_no_object_graph(trained):
    with pytest.raises(cp.CheckpointUnsupportedError, match="no object graph"):
        cp.object_metadata(trained[0])


def test_a_directory_without_a_state_file(tmp_path, caplog):  # S32
    (tmp_path / "notes.txt").write_text("no checkpoint, but longer than the footer of one is\n" * 9)
    assert cp.latest_checkpoint(tmp_path) is None
    path = write_v1(tmp_path / "model.ckpt-7", {"v": np.zeros(3)})
    (tmp_path / "damaged").write_bytes(b"x" + Path(path).read_bytes()[1:])
    assert cp.latest_checkpoint(tmp_path) == path
    assert "no state file" in caplog.text
    (tmp_path / "more").mkdir()
    shards(tmp_path / "more", np.zeros((6, 4)))
    assert cp.latest_checkpoint(tmp_path / "more") == str(tmp_path / "more" / "m-?????-of-00002")


def test_a_bundle_of_the_same_name_comes_first(tmp_path):
    path = write_v1(tmp_path / "m", {"old": np.zeros(3)})
    cp.Saver([cp.Variable(1.0, name="new")]).save(path)
    with cp.load_checkpoint(path) as reader:
        assert reader.keys() == ["new"]
        assert not isinstance(reader, V1Reader)
    assert [name for name, _ in tf.train.list_variables(path)] == ["new"]


def test_it_stays_readable_when_its_name_is_gone(tmp_path):  # S26
    path = write_v1(tmp_path / "m", {"v": np.arange(3)})
    reader = cp.load_checkpoint(path)
    Path(path).unlink()
    same(reader.get_tensor("v"), np.arange(3))
    reader.close()
    reader.close()


# -- the interface -----------------------------------------------------------------------------


def test_it_has_what_every_reader_has():
    public = {name for name in dir(BundleReader) if not name.startswith("_")}
    own = {name for name in {**vars(V1Reader), **vars(V1Contents)} if not name.startswith("_")}
    # V1 has no variants, so what reads them is the base's, which says so.
    assert public <= own | {"prefix", "header", "get_variants"}


def test_reading_into_arrays(tmp_path):
    path = write_v1(
        tmp_path / "m", {"a": np.arange(6.0).reshape(2, 3), "s": strings(b"x", b""), "t": [b"y"]}
    )
    with cp.load_checkpoint(path) as reader:
        target = np.zeros((3, 2)).T
        text = strings(b"", b"")
        for verify in (True, False, "stream"):
            target[...] = 0
            reader.read_into([("a", target), ("s", text)], verify=verify)
            assert target.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
            assert text.tolist() == [b"x", b""]
        frozen = np.zeros((2, 3))
        frozen.flags.writeable = False
        target[...] = -1
        for wrong in (np.zeros((3, 2)), np.zeros((2, 3), np.float32), frozen):
            with pytest.raises(cp.CheckpointMismatchError):
                reader.read_into([("a", target), ("a", wrong)])
        with pytest.raises(TypeError, match="is not an array"):
            reader.read_into([("a", [1, 2])])
        with pytest.raises(cp.CheckpointNotFoundError):
            reader.read_into([("a", target), ("b", target)])
        assert (target == -1).all()


def test_what_a_value_is_belongs_to_the_caller(tmp_path):
    path = write_v1(tmp_path / "m", {"a": np.arange(6.0)})
    with cp.load_checkpoint(path) as reader:
        first = reader.get_tensor("a")
        first += 1
        same(reader.get_tensor("a"), np.arange(6.0))


def test_what_it_cannot_do_it_says(tmp_path):
    path = write_v1(tmp_path / "m", {"kernel": np.arange(6.0)})
    with cp.load_checkpoint(path) as reader:
        for call in (lambda: reader.view("kernel"), lambda: reader.get_bytes("kernel")):
            with pytest.raises(cp.CheckpointUnsupportedError, match=r"before 0\.12 .*get_tensor"):
                call()
        with pytest.raises(cp.CheckpointUnsupportedError, match="re-encode"):
            reader.raw_entries()
        with pytest.raises(cp.CheckpointNotFoundError, match="similar ones are 'kernel'"):
            reader.get_tensor("kernels")
        assert "kernels" not in reader
        assert 3 not in reader


def test_nothing_there(tmp_path):  # S33
    write_v1(tmp_path / "m", {"v": np.zeros(3)})
    with pytest.raises(cp.CheckpointNotFoundError):
        cp.load_checkpoint(tmp_path / "n")
    with pytest.raises(cp.CheckpointNotFoundError):
        V1Reader(tmp_path / "n")


def test_the_newest_of_several_without_a_state_file(tmp_path):  # S32
    for name, time in (("b", 3), ("a", 5), ("c", 4)):
        path = write_v1(tmp_path / name, {"v": np.zeros(3)})
        os.utime(path, (time, time))
    assert cp.latest_checkpoint(tmp_path) == str(tmp_path / "a")
