"""The same program saved by `tf.train.Checkpoint` and by us: the same file, either way round."""

from __future__ import annotations

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from checkpointable.errors import CheckpointMismatchError
from tests.tf.files import assert_same_contents, assert_same_files, contents, graph_of


class Numbers(tf.train.experimental.PythonState):
    def __init__(self, number):
        self.number = number

    def serialize(self):
        return str(self.number)

    def deserialize(self, string_value):
        self.number = int(string_value)


class OldSaveable(tf.__internal__.tracking.Trackable):
    """Says what it is by saveables, as programs of TensorFlow 1 do."""

    def __init__(self, number):
        self.v = tf.Variable([float(number), 2.0 * number])

    def _gather_saveables_for_checkpoint(self):
        from tensorflow.python.training.saving import saveable_object

        v = self.v

        class Saveable(saveable_object.SaveableObject):
            def __init__(self, name):
                tensor = v.read_value()
                specs = [
                    saveable_object.SaveSpec(tensor[0], "", f"{name}-first"),
                    saveable_object.SaveSpec(tensor[1], "", f"{name}-second"),
                ]
                super().__init__(tensor, specs, name)

            def restore(self, restored_tensors, restored_shapes):
                return v.assign(tf.stack(restored_tensors))

        return {"old": Saveable}


class Serialized(tf.__internal__.tracking.Trackable):
    def __init__(self, number):
        self.first = tf.Variable(float(number))
        self.second = tf.Variable(f"text {number}")

    def _serialize_to_tensors(self):
        return {"first": self.first.read_value(), "second": self.second.read_value()}

    def _restore_from_tensors(self, restored_tensors):
        self.first.assign(restored_tensors["first"])
        self.second.assign(restored_tensors["second"])


def containers(n):
    pair = collections.namedtuple("pair", "x y")
    module = tf.Module()
    module.list = [tf.Variable(n), {"k": tf.Variable(str(n)), "l": [tf.Variable(n > 1)]}]
    module.tuple = (tf.Variable(float(n)), 3, tf.Module())
    module.named = pair(tf.Variable(n + 1), tf.Variable(n + 2))
    module.shared = module.list[0]
    module.function = tf.function(lambda: module.list[0] + 1)
    return {"module": module, "a.b/c": tf.Module()}


def dtypes(n):
    kinds = (
        "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool"
    )
    kinds += " complex64 complex128 int4 uint4 float8_e5m2 float8_e4m3fn"
    values = {
        k: tf.Variable(np.array([0, n, 1]).astype(tf.as_dtype(k).as_numpy_dtype))
        for k in kinds.split()
    }
    empty = tf.Variable(tf.zeros((0, 3)))
    some = tf.Variable(tf.ones((n, 2)), shape=tf.TensorShape((None, 2)))
    return values | {"empty": empty, "some": some, "any": tf.Variable([n], shape=None)}


def slots(n):
    """Three kinds of optimizers that share a variable."""
    x, y = tf.Variable([1.0 * n, 2.0]), tf.Variable(3.0)
    train = tf.compat.v1.train
    optimizers = {
        "adam": train.AdamOptimizer(0.1),
        "momentum": train.MomentumOptimizer(0.1, 0.9),
        "rms": train.RMSPropOptimizer(0.1, momentum=0.5, centered=True),
    }
    for _ in range(n):
        for optimizer in optimizers.values():
            optimizer.minimize(lambda: tf.reduce_sum(x**2) * y, var_list=[x, y])
    return {"model": {"x": x, "y": y}, **optimizers}


def plain_data():
    """Batches in an order of their own that nothing but `next` moves on.

    The optimizations that tf.data makes by default add a thread that fills a buffer meanwhile:
    two states of one iterator, taken one after the other, then differ now and then.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return tf.data.Dataset.range(100).shuffle(10, seed=1).batch(3).with_options(options)


def after(n, data):
    iterator = iter(data)
    for _ in range(n):
        next(iterator)
    return iterator


def iterators(n):
    return {"iterator": after(n, plain_data()), "generator": tf.random.Generator.from_seed(n)}


def tables(n):
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    dense = tf.lookup.experimental.DenseHashTable(tf.int64, tf.float32, -1.0, -1, -2)
    table.insert([f"k{n}"], [n])  # one only, since they have no order
    dense.insert([n], [n / 2])
    values = tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1]))
    return {"table": table, "dense": dense, "static": tf.lookup.StaticHashTable(values, -1)}


def states(n):
    return {"state": Numbers(n), "old": OldSaveable(n), "serialized": Serialized(n)}


def keras_model(n):
    keras.utils.set_random_seed(n)
    model = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
    model.add(keras.layers.Dropout(0.5, seed=n))
    model.compile("adam", "mse")
    model.fit(np.ones((4, 2)), np.zeros((4, 3)), epochs=n, verbose=0)
    return {"model": model}


def resources(n):
    """What has no values of its own: assets, tables of constants, data sets, resources."""

    class Resource(tf.saved_model.experimental.TrackableResource):
        def __init__(self):
            super().__init__()
            self.v = tf.Variable(float(n))

        def _create_resource(self):
            return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])

    module = tf.Module()
    module.asset = tf.saved_model.Asset(__file__)
    module.initializer = tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([0], tf.int64))
    module.vocabulary = tf.lookup.StaticVocabularyTable(module.initializer, 2)
    module.data = tf.data.Dataset.range(3)
    module.constant = tf.constant([1.0])
    return {"module": module, "resource": Resource()}


def nested(n):
    inner = tf.train.Checkpoint(v=tf.Variable(n))
    inner.save_counter.assign(n)
    return {"inner": inner, "step": tf.Variable(n, dtype=tf.int64, name="global_step")}


PROGRAMS = {
    f.__name__: f
    for f in (
        containers,
        dtypes,
        slots,
        iterators,
        tables,
        states,
        keras_model,
        resources,
        nested,
    )
}


@pytest.fixture(params=PROGRAMS)
def program(request):
    return PROGRAMS[request.param]


def test_both_write_the_same_file(program, tmp_path):  # S10 S11 S12 S15
    objects = program(2)
    theirs = tf.train.Checkpoint(**objects).save(f"{tmp_path}/theirs")
    ours = cp.Checkpoint(**objects).save(f"{tmp_path}/ours")
    assert_same_files(theirs, ours)


def test_we_restore_what_tensorflow_saved(program, tmp_path):
    theirs = tf.train.Checkpoint(**program(2)).save(f"{tmp_path}/theirs")
    checkpoint = cp.Checkpoint(**program(1))
    checkpoint.restore(theirs).assert_consumed().assert_existing_objects_matched()
    ours = checkpoint.write(f"{tmp_path}/ours")
    assert_same_contents(theirs, ours)


def test_tensorflow_restores_what_we_saved(program, tmp_path):
    ours = cp.Checkpoint(**program(2)).save(f"{tmp_path}/ours")
    checkpoint = tf.train.Checkpoint(**program(1))
    checkpoint.restore(ours).assert_consumed()
    theirs = checkpoint.write(f"{tmp_path}/theirs")
    assert_same_contents(theirs, ours)


@pytest.mark.parametrize("root", [tf.Module, tf.train.Checkpoint, keras.Model])
def test_an_object_of_tensorflow_is_the_root_itself(root, tmp_path):  # S15
    model = root()
    model.v = tf.Variable([1.0, 2.0])
    theirs = tf.train.Checkpoint(model).write(f"{tmp_path}/theirs")
    ours = cp.Checkpoint(root=model).write(f"{tmp_path}/ours")
    assert_same_files(theirs, ours)
    saver = cp.CheckpointableSaver(model)
    assert_same_contents(theirs, saver.save(f"{tmp_path}/ours"))
    theirs = tf.train.Checkpoint(root=model, other=tf.Variable(3)).write(f"{tmp_path}/theirs")
    ours = cp.Checkpoint(root=model, other=tf.Variable(3)).write(f"{tmp_path}/ours")
    assert contents(ours).keys() == contents(theirs).keys()


@pytest.mark.parametrize(
    "policy",
    [
        tf.train.experimental.ShardByTaskPolicy(),
        tf.train.experimental.MaxShardSizePolicy(1000),
    ],
    ids=["task", "size"],
)
def test_files_that_tensorflow_shards(tmp_path, policy):
    """Even a variable of an object-based checkpoint may be in slices, over many files."""
    numbers = np.arange(3000).reshape(300, 10)
    variables = {
        "x": tf.Variable(numbers.astype(np.float32)),
        "y": tf.Variable(numbers),
        "s": tf.Variable(["text", ""]),
        "n": tf.Variable(7),
    }
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
    path = tf.train.Checkpoint(**variables).write(f"{tmp_path}/theirs", options=options)
    again = {name: tf.Variable(tf.zeros_like(v)) for name, v in variables.items()}
    cp.Checkpoint(**again).read(path).assert_consumed()
    for name, variable in variables.items():
        np.testing.assert_array_equal(again[name].numpy(), variable.numpy())
    later = cp.Checkpoint()
    status = later.read(path)
    later.x = tf.Variable(np.zeros((300, 10), np.float32))
    assert (later.x.numpy() == numbers).all()
    status.expect_partial()


def test_what_a_saved_model_loads(tmp_path):
    module = tf.Module()
    module.v = tf.Variable([1.0, 2.0])
    module.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    module.table.insert(["a"], [4])
    module.look_up = tf.function(lambda: module.table.lookup(tf.constant(["a"])))
    module.look_up()
    tf.saved_model.save(module, f"{tmp_path}/saved")
    loaded = tf.saved_model.load(f"{tmp_path}/saved")
    theirs = tf.train.Checkpoint(module=loaded).save(f"{tmp_path}/theirs")
    ours = cp.Checkpoint(module=loaded).save(f"{tmp_path}/ours")
    assert_same_files(theirs, ours)
    again = tf.saved_model.load(f"{tmp_path}/saved")
    again.v.assign([0.0, 0.0])
    cp.Checkpoint(module=again).restore(theirs).assert_consumed()
    assert again.v.numpy().tolist() == [1.0, 2.0]
    assert again.look_up().numpy().tolist() == [4]
    # The variables of a SavedModel are a checkpoint themselves.
    bare = tf.Module()
    bare.v = tf.Variable([0.0, 0.0])
    cp.Checkpoint(root=bare).read(f"{tmp_path}/saved/variables/variables").expect_partial()
    assert bare.v.numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("restored_by", [cp, tf.train], ids=["ours", "theirs"])
@pytest.mark.parametrize("saved_by", [cp, tf.train], ids=["ours", "theirs"])
@pytest.mark.parametrize("buffered", [False, True])
def test_an_iterator_goes_on_where_it_was(tmp_path, buffered, saved_by, restored_by):
    data = plain_data().prefetch(2) if buffered else plain_data()
    iterator = after(3, data)
    path = saved_by.Checkpoint(iterator=iterator).save(f"{tmp_path}/ckpt")
    expected = [next(iterator).numpy().tolist() for _ in range(3)]
    again = after(0, data)
    restored_by.Checkpoint(iterator=again).restore(path).assert_consumed()
    assert [next(again).numpy().tolist() for _ in range(3)] == expected


def test_a_table_has_what_it_had(tmp_path):
    path = cp.Checkpoint(**tables(3)).save(f"{tmp_path}/ckpt")
    again = tables(4)
    status = cp.Checkpoint(**again).restore(path).assert_consumed()
    assert again["table"].lookup(tf.constant(["k3", "k4"])).numpy().tolist() == [3, -1]
    assert again["dense"].lookup([3]).numpy() == 1.5
    assert status.report().complete


def test_a_table_of_other_values_does_not_fit_and_changes_nothing(tmp_path):  # S25
    def table(default):
        return tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, default)

    first = table([0.0, 0.0])
    first.insert(["k"], [[1.0, 2.0]])
    path = cp.Checkpoint(a=tf.Variable(1.0), t=first).write(f"{tmp_path}/ckpt")
    for other in (table([0.0, 0.0, 0.0]), table(0.0)):
        variable = tf.Variable(5.0)
        with pytest.raises(CheckpointMismatchError, match=r"t: shape \(1, 2\) in the checkpoint"):
            cp.Checkpoint(a=variable, t=other).read(path)
        assert variable.numpy() == 5
        with tf.Graph().as_default():
            other = table([0.0])
            with pytest.raises(CheckpointMismatchError, match=r"\(None, 1\) in the program"):
                cp.Checkpoint(t=other).read(path)
    empty = cp.Checkpoint(a=variable, t=table([0.0, 0.0])).write(f"{tmp_path}/empty")
    cp.Checkpoint(a=variable, t=first).read(empty).assert_consumed()
    assert first.size() == 0


def test_an_iterator_that_has_no_state_to_save_is_named(tmp_path):
    data = tf.data.Dataset.from_generator(lambda: iter(range(5)), output_types=tf.int32)
    with pytest.raises(ValueError, match=r"model/data: TensorFlow cannot read this OwnedIterator"):
        cp.Checkpoint(model={"data": iter(data)}).save(f"{tmp_path}/ckpt")
    assert not list(tmp_path.iterdir())


def test_a_full_name_is_that_of_the_variable(tmp_path):  # S12
    variable = tf.Variable(1.0, name="scope/given")
    path = cp.Checkpoint(v=variable).write(f"{tmp_path}/ckpt")
    (attribute,) = graph_of(path).nodes[1].attributes
    assert attribute.full_name == "scope/given"


class Slashed(Serialized):
    def _serialize_to_tensors(self):
        return {"a/b.c": self.first.read_value()}

    def _restore_from_tensors(self, restored_tensors):
        self.first.assign(restored_tensors["a/b.c"])


def test_a_slash_in_the_name_of_a_tensor(tmp_path):
    """TensorFlow escapes such a name twice when it saves, and then does not find it."""
    theirs = tf.train.Checkpoint(x=Slashed(2)).write(f"{tmp_path}/theirs")
    ours = cp.Checkpoint(x=Slashed(2)).write(f"{tmp_path}/ours")
    with pytest.raises(tf.errors.NotFoundError):
        tf.train.Checkpoint(x=Slashed(1)).read(theirs)
    for path in theirs, ours:
        again = Slashed(1)
        cp.Checkpoint(x=again).read(path).assert_consumed()
        assert again.first.numpy() == 2
    again = Slashed(1)
    tf.train.Checkpoint(x=again).read(ours).assert_consumed()
    assert again.first.numpy() == 2


class WithSaver(tf.__internal__.tracking.Trackable):
    pass


def test_what_a_registered_saver_writes_is_refused_by_name(tmp_path):
    from tensorflow.python.saved_model import registration

    registration.register_checkpoint_saver(
        package="tests",
        name="refused",
        predicate=lambda obj: type(obj) is WithSaver,
        save_fn=lambda trackables, file_prefix: [],
        restore_fn=lambda trackables, merged_prefix: None,
    )
    with pytest.raises(NotImplementedError, match=r"inner: .*WithSaver .*'tests\.refused'"):
        cp.Checkpoint(inner=WithSaver()).save(f"{tmp_path}/ckpt")


# S3, S12: one plain container in two places: two nodes there, one here, the same keys
@pytest.mark.parametrize("key", [None, "k"])
def test_a_container_in_two_places_goes_both_ways(tmp_path, key):
    def build(owner, variable):
        owner.x = [variable] if key is None else {key: variable}
        owner.y = owner.x
        return owner

    def build_plain(owner, variable):
        plain = [variable] if key is None else {key: variable}
        owner.x = plain
        owner.y = plain
        return owner

    for make in (build, build_plain):
        theirs = make(tf.Module(), tf.Variable([1.0, 2.0]))
        ours = make(cp.Checkpointable(), cp.Variable(np.array([1, 2], np.float32)))
        written = tf.train.Checkpoint(m=theirs).write(str(tmp_path / "theirs"))
        own = cp.Checkpoint(m=ours).write(tmp_path / "ours")
        assert cp.list_variables(written) == cp.list_variables(own)
        restored = make(tf.Module(), tf.Variable([0.0, 0.0]))
        status = tf.train.Checkpoint(m=restored).read(own)
        status.assert_consumed().assert_existing_objects_matched()
        again = make(cp.Checkpointable(), cp.Variable(np.zeros(2, np.float32)))
        cp.Checkpoint(m=again).read(written).assert_consumed()
        for variable in (
            *tf.nest.flatten([list(restored.x) if key is None else dict(restored.x)]),
            *(again.x if key is None else again.x.values()),
        ):
            assert variable.numpy().tolist() == [1, 2]
