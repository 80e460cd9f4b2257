"""TensorFlow's private names: there, as assumed, in one place, and what happens without them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from checkpointable.adapters.tensorflow import private_api, private_attributes
from checkpointable.adapters.tensorflow.eager import batched_variables

PACKAGE = Path(cp.__file__).parent
ROOM = PACKAGE / "adapters" / "tensorflow"
PRIVATE = ("private_api.py", "private_attributes.py")
OPTIONAL = [name for name in private_api.NAMES if name.missing]
REQUIRED = [name for name in private_api.NAMES if not name.missing]

v1 = tf.compat.v1


def ids(names):
    return [name.path for name in names]


# One place.


def test_no_other_module_names_tensorflows_private_modules():
    for path in PACKAGE.rglob("*.py"):
        if path.name not in PRIVATE or path.parent != ROOM:
            assert "tensorflow.python" not in path.read_text("utf-8"), path
            assert not re.search(r"keras\.src", path.read_text("utf-8")), path


def _defined_privately(tree):
    """The private names that a module gives its own objects."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
            yield node.target.attr


def test_no_other_module_of_the_adapter_reads_a_private_attribute_of_tensorflows():
    trees = {path: ast.parse(path.read_bytes()) for path in PACKAGE.rglob("*.py")}
    ours = {name for tree in trees.values() for name in _defined_privately(tree)}
    for path in ROOM.rglob("*.py"):
        if path.name in PRIVATE:
            continue
        for node in ast.walk(trees[path]):
            if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
                assert node.attr in ours, f"{path.name}:{node.lineno} reads {node.attr}"


# There.


@pytest.mark.parametrize("name", private_api.NAMES, ids=ids(private_api.NAMES))
def test_the_installed_tensorflow_has_the_name(name):
    assert private_api._resolved(name.path) is not None
    assert name.use


def test_the_installed_tensorflow_is_one_in_which_they_were_seen():
    assert tf.__version__.rpartition(".")[0] in private_api.SEEN


# What happens where one is missing.


def without(name, monkeypatch):
    """`private_api`, as a TensorFlow without this name would load it."""
    module_name, _, attribute = name.path.partition(":")
    real = importlib.import_module

    def import_module(wanted):
        module = real(wanted)
        if wanted != f"tensorflow.python.{module_name}":
            return module
        poorer = ModuleType(wanted)
        for key, value in vars(module).items():
            if key != attribute:
                setattr(poorer, key, value)
        return poorer

    monkeypatch.setattr(importlib, "import_module", import_module)
    spec = importlib.util.spec_from_file_location("another_private_api", private_api.__file__)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    "name",
    [name for name in REQUIRED if "." not in name.path.partition(":")[2]],
    ids=lambda name: name.path,
)
def test_without_a_required_name_the_adapter_is_not_imported(name, monkeypatch):
    with pytest.raises(ImportError) as error:
        without(name, monkeypatch)
    text = str(error.value)
    assert f"tensorflow.python.{name.path}" in text
    assert name.use in text
    assert tf.__version__ in text
    assert "2.16, 2.18, 2.21" in text


@pytest.mark.parametrize(
    "path",
    ["trackable.base:Trackable._children_of_2030", "gone.module:name", "trackable.base:Gone._x"],
)
def test_a_required_attribute_or_module_that_is_missing_is_named(path):
    with pytest.raises(ImportError, match=f"has no tensorflow.python.{re.escape(path)}, which"):
        private_api.required(path, "test it")
    assert private_api.NAMES.pop().path == path


@pytest.mark.parametrize("name", OPTIONAL, ids=ids(OPTIONAL))
def test_without_an_optional_name_the_adapter_is_imported(name, monkeypatch):
    loaded = without(name, monkeypatch)
    assert ids(loaded.NAMES) == [n for n in ids(private_api.NAMES) if n in ids(loaded.NAMES)]


def optional(path):
    (name,) = (name for name in OPTIONAL if name.path == path)
    return name


@pytest.mark.parametrize(
    ("path", "attribute"),
    [
        ("ops.ref_variable:RefVariable", "RefVariable"),
        ("ops.variables:PartitionedVariable", "PartitionedVariable"),
        ("distribute.values:MirroredVariable", "MirroredVariable"),
    ],
)
def test_of_a_class_that_is_missing_there_are_no_objects(path, attribute, monkeypatch):
    absent = getattr(without(optional(path), monkeypatch), attribute)
    assert not isinstance(tf.Variable(1.0), absent)


def test_without_the_fast_operations_the_public_ones_read_and_assign(monkeypatch):
    variable = tf.Variable([1.0, 2.0])
    slow = without(optional("ops.gen_resource_variable_ops:read_variable_op"), monkeypatch)
    assert slow.read_variable(variable.handle, variable.dtype).numpy().tolist() == [1.0, 2.0]
    slow = without(optional("ops.gen_resource_variable_ops:assign_variable_op"), monkeypatch)
    slow.assign_variable(variable.handle, tf.constant([3.0, 4.0]))
    assert variable.numpy().tolist() == [3.0, 4.0]


def test_without_quick_execute_variables_are_saved_and_restored_one_by_one(tmp_path, monkeypatch):
    slow = without(optional("eager.execute:quick_execute"), monkeypatch)
    monkeypatch.setattr(batched_variables, "quick_execute", slow.quick_execute)
    monkeypatch.setattr(batched_variables, "_FEWEST_ASSIGNED", 1)

    def program(value):
        root = tf.Module()
        root.variables_ = [tf.Variable([value, float(i)]) for i in range(200)]
        return root

    prefix = cp.CheckpointableSaver(program(1.0)).save(tmp_path / "ckpt")
    restored = program(0.0)
    cp.CheckpointableSaver(restored).restore(prefix).assert_consumed()
    expected = [[1.0, float(i)] for i in range(200)]
    assert [variable.numpy().tolist() for variable in restored.variables_] == expected


def test_without_keras_session_the_entered_one_is_found(monkeypatch):
    loaded = without(optional("checkpoint.checkpoint:get_session"), monkeypatch)
    with tf.Graph().as_default(), v1.Session() as session:
        assert loaded.get_session() is session


def test_without_slot_keys_no_waiting_restore_is_dropped(monkeypatch):
    loaded = without(optional("training.optimizer:_var_key"), monkeypatch)
    assert loaded.slot_key(tf.Variable(1.0)) is None


def test_without_rules_of_autograph_none_is_added(monkeypatch):
    loaded = without(optional("autograph.core:config"), monkeypatch)
    loaded.exempt_from_autograph("checkpointable")


# As assumed.


def test_autograph_leaves_this_library_alone():
    rules = importlib.import_module("tensorflow.python.autograph.core.config").CONVERSION_RULES
    importlib.import_module("checkpointable.adapters.tensorflow.find")
    assert any(getattr(rule, "_prefix", None) == "checkpointable" for rule in rules)


def test_numbers_of_restores_grow():
    first = private_api.next_restore_number()
    assert first < private_api.next_restore_number()


def test_a_restore_number_is_kept_unless_a_later_one_is():
    variable = tf.Variable(1.0)
    assert private_attributes.restore_number(variable) == -1
    for number, known in ((5, 5), (3, 5), (8, 8)):
        private_attributes.set_restore_number(variable, number)
        assert private_attributes.restore_number(variable) == known
        assert private_attributes.last_restore(variable) == known


def test_tracked_children_and_what_waits():
    module = tf.Module()
    private_attributes.prepare(module)
    assert not private_attributes.has_listed_children(module)
    module.v = tf.Variable(1.0)
    assert private_attributes.children_of(module)["v"] is module.v
    assert private_attributes.lookup_in(module)("v") is module.v
    assert private_attributes.lookup_in(module)("w") is None
    assert private_attributes.waiting_in(module) == {}
    assert private_attributes.has_listed_children_only(tf.Variable)
    assert not private_attributes.has_listed_children_only(tf.Module)
    listing = tf.train.Checkpoint(v=module.v)
    assert private_attributes.has_listed_children(listing)


def test_an_eager_variable():
    variable = tf.Variable([1.0, 2.0], name="speed")
    assert not private_attributes.in_graph_mode(variable)
    assert private_attributes.shared_name(variable) == "speed"
    assert private_attributes.slice_info(variable) is None
    assert private_attributes.dimensions(variable.shape) == (2,)
    assert private_attributes.dimensions(tf.TensorShape([None, 3])) == (None, 3)
    assert private_attributes.dimensions(tf.TensorShape(None)) is None
    assert private_attributes.is_stored_as_variable(type(variable))
    tensors = private_attributes.serialize_to_tensors(variable)
    assert list(tensors) == ["VARIABLE_VALUE"]
    private_attributes.restore_from_tensors(variable, {"VARIABLE_VALUE": tf.constant([5.0, 6.0])})
    assert variable.numpy().tolist() == [5.0, 6.0]


def test_tensors_and_arrays_share_memory():
    array = np.arange(1024, dtype=np.float32)
    tensor = private_api.EagerTensor(array, tf.constant(0.0).device, None)
    assert np.shares_memory(
        private_attributes.array_of(tensor), private_attributes.array_of(tensor)
    )
    assert private_attributes.array_of(tensor).tolist() == array.tolist()


@pytest.mark.parametrize("use_resource", [True, False])
def test_a_variable_of_a_graph(use_resource):
    with tf.Graph().as_default() as graph:
        variable = v1.get_variable("speed", [2], use_resource=use_resource)
        assert isinstance(variable, private_api.RefVariable) == (not use_resource)
        assert private_attributes.graph_element_of(variable).graph is graph
        assert private_attributes.initializer_of(variable) is variable.initializer
        if use_resource:
            assert private_attributes.in_graph_mode(variable)
            assert private_attributes.shared_name(variable) == "speed"


def test_a_partitioned_variable():
    with tf.Graph().as_default():
        whole = v1.get_variable(
            "whole", [4, 2], partitioner=v1.fixed_size_partitioner(2), use_resource=True
        )
        assert isinstance(whole, private_api.PartitionedVariable)
        info = private_attributes.slice_info(list(whole)[1])
        assert (info.full_shape, info.var_offset, info.var_shape) == ([4, 2], [2, 0], [2, 2])


def test_a_mirrored_variable():
    with tf.distribute.MirroredStrategy(["cpu:0"]).scope():
        variable = tf.Variable(2.0)
    assert type(variable) is private_api.MirroredVariable
    assert isinstance(variable, private_api.DISTRIBUTED)
    copies = private_attributes.copies_of(variable)
    assert [copy.numpy() for copy in copies] == [2.0]
    assert not isinstance(tf.Variable(1.0), private_api.DISTRIBUTED)


def test_tables_and_iterators():
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, default_value=-1)
    assert private_attributes.default_value(table).shape == ()
    assert private_attributes.offers_values(table)
    assert private_api.offers_tensors(table)
    assert private_attributes.resource_of(table) is table.resource_handle
    iterator = iter(tf.data.Dataset.range(3))
    assert isinstance(iterator, private_api.OwnedIterator)
    assert isinstance(private_attributes.resource_of(iterator), private_api.EagerTensor)
    assert private_attributes.resource_of(tf.Module()) is None
    assert not private_attributes.offers_values(tf.Module())
    with tf.Graph().as_default():
        constant = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(["a"], [1]), default_value=0
        )
        assert isinstance(private_attributes.initializer_of(constant), tf.Operation)


def test_the_slots_of_an_optimizer():
    with tf.Graph().as_default():
        optimizer = v1.train.MomentumOptimizer(0.1, 0.9)
        variable = v1.get_variable("v", [2], use_resource=True)
        waiting = object()
        optimizer._deferred_slot_restorations.setdefault("momentum", {})[
            private_api.slot_key(variable)
        ] = [waiting]
        deferred = private_attributes.deferred_slots(optimizer, "momentum")
        assert deferred[private_api.slot_key(variable)] == [waiting]
        assert private_attributes.deferred_slots(optimizer, "other") == {}
    assert callable(private_attributes.slot_maker(optimizer))
    assert private_attributes.slot_maker(tf.Module()) is None
    assert private_attributes.deferred_slots(tf.Module(), "momentum") == {}


def test_keras_classes_and_lists():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dropout(0.1)])
    model.compile("adam", "mse")
    variable = model.layers[0].kernel
    assert private_attributes.is_keras(type(variable), private_attributes.KERAS_VARIABLE)
    assert isinstance(private_attributes.keras_value(variable), tf.Variable)
    for state in (keras.metrics.Mean(), keras.random.SeedGenerator(1)):
        assert private_attributes.is_keras(type(state), *private_attributes.KERAS_STATE)
    lists = private_attributes.keras_state_lists(keras.metrics.Mean())
    assert len(lists["variables"]) == 2
    named = {*vars(model), *vars(model.layers[0]), *vars(model.optimizer)}
    assert named >= {"_layers", "_metrics", "_seed_generators", "_trainable_variables"}
    assert not private_attributes.is_keras(tf.Variable, private_attributes.KERAS_VARIABLE)


def test_a_keras_variable_without_a_value_begins_as_its_initializer_says():
    with keras.StatelessScope():
        variable = keras.Variable(tf.zeros, (2,), "float32")
        assert private_attributes.keras_value(variable) is None
        private_attributes.set_keras_initializer(variable, lambda: tf.constant([1.0, 2.0]))
    assert variable.numpy().tolist() == [1.0, 2.0]
