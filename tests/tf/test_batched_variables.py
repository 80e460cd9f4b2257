"""Many variables are read and assigned in few steps: with the outcome of one by one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from checkpointable.adapters.tensorflow.eager import batched_variables
from tests.tf.files import assert_same_files

KINDS = ["float32", "bfloat16", "int64", "bool", "complex64", "int4"]
SHAPES = [(), (3,), (0, 2), (2, 1, 4)]


def program(seed, count):
    """Variables of many kinds, and many of one kind."""
    rng = np.random.default_rng(seed)
    root = tf.Module()
    for number in range(count):
        kind, shape = KINDS[number % len(KINDS)], SHAPES[number % len(SHAPES)]
        if number > count // 4:
            kind = "float32"
        array = rng.integers(0, 2, shape).astype(tf.as_dtype(kind).as_numpy_dtype)
        setattr(root, f"v{number}", tf.Variable(array))
    root.text = tf.Variable([f"text {seed}", ""])
    root.some = tf.Variable(np.zeros((seed, 2), np.float32), shape=tf.TensorShape((None, 2)))
    return root


def numbers(root):
    return [v.numpy() for v in root.variables]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def one_by_one(monkeypatch):
    """Switches to the plain way."""

    def switch():
        monkeypatch.setattr(batched_variables, "_FEWEST", 1 << 60)
        monkeypatch.setattr(batched_variables, "_FEWEST_ASSIGNED", 1 << 60)

    return switch


@pytest.mark.parametrize("count", [7, 40, 150, 1500])
def test_it_is_the_same_as_one_by_one(tmp_path, monkeypatch, one_by_one, count):  # S13 S20
    monkeypatch.setattr(batched_variables, "_FEWEST_ASSIGNED", 64)
    root = program(1, count)
    theirs = tf.train.Checkpoint(root=root).write(f"{tmp_path}/theirs")
    fast = cp.Checkpoint(root=root).write(f"{tmp_path}/fast")
    assert_same_files(theirs, fast)
    quick, plain = program(2, count), program(3, count)
    cp.Checkpoint(root=quick).read(fast).assert_consumed()
    one_by_one()
    cp.Checkpoint(root=root).write(f"{tmp_path}/slow")
    for end in (".index", ".data-00000-of-00001"):
        assert (tmp_path / f"fast{end}").read_bytes() == (tmp_path / f"slow{end}").read_bytes()
    cp.Checkpoint(root=plain).read(fast).assert_consumed()
    assert_equal(numbers(quick), numbers(root))
    assert_equal(numbers(plain), numbers(root))


def test_variables_have_memory_of_their_own_afterwards(tmp_path, monkeypatch):  # S20
    monkeypatch.setattr(batched_variables, "_FEWEST_ASSIGNED", 64)
    variables = [tf.Variable([float(n)] * 3) for n in range(130)]
    path = cp.Checkpoint(v=variables).write(f"{tmp_path}/ckpt")
    checkpoint = cp.Checkpoint(v=variables)
    checkpoint.read(path)
    variables[0].assign_add([1.0, 1.0, 1.0])
    variables[1].scatter_update(tf.IndexedSlices([9.0], [1]))
    kept = variables[2].read_value()
    checkpoint.read(path)
    variables[2].assign_add([1.0, 1.0, 1.0])
    assert kept.numpy().tolist() == [2.0] * 3
    for number, variable in enumerate(variables):
        assert variable.numpy().tolist() == [number + (number == 2)] * 3


@pytest.mark.parametrize("method", ["save", "save_async"])
def test_what_changes_after_a_save_is_not_in_it(tmp_path, method):
    variables = [tf.Variable([float(n)] * 3) for n in range(50)]
    # Once changed in place, it is copied whenever it is read.
    variables[1].scatter_update(tf.IndexedSlices([9.0], [1]))
    checkpoint = cp.Checkpoint(v=variables)
    handle = getattr(checkpoint, method)(f"{tmp_path}/ckpt")
    for variable in variables:
        variable.assign_add([1.0] * 3)
        variable.scatter_add(tf.IndexedSlices([1.0], [0]))
    path = handle if method == "save" else handle.result()
    reader = cp.load_checkpoint(path)
    for number in range(50):
        found = reader.get_tensor(f"v/{number}/.ATTRIBUTES/VARIABLE_VALUE").tolist()
        assert found == ([1.0, 9.0, 1.0] if number == 1 else [float(number)] * 3)


def test_an_uninitialized_one_among_many_is_named(tmp_path):
    from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

    variables = [tf.Variable([float(n)]) for n in range(50)]
    variables.append(UninitializedVariable(shape=(3,), dtype=tf.float32, name="never"))
    with pytest.raises(ValueError, match="'never:0' is not initialized"):
        cp.Checkpoint(v=variables).save(f"{tmp_path}/ckpt")


def test_eager_variables_stay_what_they_are_in_the_block_of_a_graph(tmp_path, monkeypatch):  # S37
    monkeypatch.setattr(batched_variables, "_FEWEST_ASSIGNED", 64)
    variables = [tf.Variable([float(n)] * 3) for n in range(130)]
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(["a"], [1])
    for objects in ({"v": variables, "t": table}, {"v": variables[:1]}):
        checkpoint = cp.Checkpoint(**objects)
        with tf.Graph().as_default():
            path = checkpoint.save(f"{tmp_path}/ckpt")
            checkpoint.restore(path).assert_consumed()
        for variable in variables:
            variable.assign([0.0] * 3)
        with tf.Graph().as_default():
            checkpoint.restore(path).assert_consumed()
        expected = [[float(n)] * 3 for n in range(len(objects["v"]))]
        assert [v.numpy().tolist() for v in objects["v"]] == expected
        assert table.lookup(tf.constant(["a"])).numpy().tolist() == [1]


@pytest.mark.parametrize("count", [1, 130])
def test_a_save_is_refused_while_a_function_is_traced(tmp_path, count, caplog):
    """It would be written once; `tf.train.Checkpoint.save` refuses it too."""
    checkpoint = cp.Checkpoint(v=[tf.Variable([float(n)]) for n in range(count)])

    @tf.function
    def traced():
        checkpoint.write(f"{tmp_path}/ckpt")

    with pytest.raises(NotImplementedError, match=r"while a tf\.function is traced"):
        traced()
    assert not list(tmp_path.iterdir())
    assert not caplog.records

    @tf.function
    def runs():
        return tf.py_function(lambda: checkpoint.write(f"{tmp_path}/ckpt"), [], tf.string)

    assert runs().numpy() == f"{tmp_path}/ckpt".encode()


def test_a_context_that_was_made_anew(tmp_path):
    """What was defined in the one before is not there any more."""
    import subprocess
    import sys
    from pathlib import Path

    program = """if True:
        import sys
        import tensorflow as tf
        from tensorflow.python.eager import context
        import checkpointable as cp
        for turn in range(2):
            variables = [tf.Variable(float(n)) for n in range(2100)]
            path = cp.Checkpoint(v=variables).save(f"{sys.argv[1]}/{turn}")
            for v in variables:
                v.assign(0.0)
            cp.Checkpoint(v=variables).restore(path).assert_consumed()
            assert [float(v.numpy()) for v in variables] == list(range(2100))
            del variables, v
            context._reset_context()
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr[-3000:]
