"""Restore on create, eagerly, through TensorFlow's own hooks."""

from __future__ import annotations

import copy
import gc
import logging
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp

v1 = tf.compat.v1
Trackable = tf.__internal__.tracking.Trackable


def module(**attributes):
    made = tf.Module()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def saved(tmp_path, name="ckpt", **objects):
    return cp.Checkpoint(**objects).write(f"{tmp_path}/{name}")


def test_a_dependency_that_comes_later(tmp_path):  # S21
    path = saved(tmp_path, net=module(v=tf.Variable([1.0, 2.0]), sub=module(w=tf.Variable(3))))
    root = cp.Checkpoint()
    status = root.read(path)
    root.net = tf.Module()
    root.net.v = tf.Variable([0.0, 0.0])
    assert root.net.v.numpy().tolist() == [1.0, 2.0]
    with pytest.raises(AssertionError, match="net/sub/w"):
        status.assert_consumed()
    sub = tf.Module()
    sub.w = tf.Variable(0)
    root.net.sub = sub
    assert sub.w.numpy() == 3
    status.assert_consumed()


def test_lists_and_dicts_that_grow(tmp_path):  # S21
    full = module(list=[tf.Variable(1), tf.Variable(2)], dict={"a": tf.Variable(3)})
    path = saved(tmp_path, net=full)
    net = module(list=[], dict={})
    status = cp.Checkpoint(net=net).read(path)
    net.list.append(tf.Variable(0))
    net.list.append(tf.Variable(0))
    net.dict["a"] = tf.Variable(0)
    assert [v.numpy() for v in (*net.list, net.dict["a"])] == [1, 2, 3]
    status.assert_consumed()


def test_a_keras_layer_that_is_built_later(tmp_path):
    def model():
        return keras.Sequential(
            [keras.layers.Dense(3), keras.layers.LSTM(2), keras.layers.Dense(1)]
        )

    x = np.ones((2, 4, 5), np.float32)
    built = model()
    expected = built(x).numpy()
    path = saved(tmp_path, model=built)
    again = model()
    status = cp.Checkpoint(model=again).read(path)
    assert again(x).numpy().tolist() == expected.tolist()
    status.assert_consumed()


def test_a_layer_that_is_added_later(tmp_path):
    x = np.ones((2, 4), np.float32)
    built = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(2)])
    expected = built(x).numpy()
    path = saved(tmp_path, model=built)
    again = keras.Sequential([keras.layers.Dense(3)])
    status = cp.Checkpoint(model=again).read(path)
    again.add(keras.layers.Dense(2))
    assert again(x).numpy().tolist() == expected.tolist()
    status.assert_consumed()


def test_slots_of_an_optimizer_that_was_never_used(tmp_path):  # S22
    x, optimizer = tf.Variable([1.0, 2.0]), v1.train.MomentumOptimizer(0.1, 0.9)
    optimizer.minimize(lambda: tf.reduce_sum(x**2), var_list=[x])
    expected = optimizer.get_slot(x, "momentum").numpy().tolist()
    path = saved(tmp_path, x=x, optimizer=optimizer)
    for first, second in (("x", "optimizer"), ("optimizer", "x")):
        root = cp.Checkpoint()
        status = root.read(path)
        objects = {"x": tf.Variable([0.0, 0.0]), "optimizer": v1.train.MomentumOptimizer(0.1, 0.9)}
        setattr(root, first, objects[first])
        setattr(root, second, objects[second])
        assert objects["optimizer"].get_slot(objects["x"], "momentum").numpy().tolist() == expected
        status.assert_consumed()


def test_variables_of_a_keras_optimizer_that_was_never_used(tmp_path):
    def program():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(2)])
        model.compile(keras.optimizers.Adam(0.1), "mse")
        return model

    x, y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
    model = program()
    model.fit(x, y, epochs=2, verbose=0)
    path = saved(tmp_path, model=model)
    again = program()
    status = cp.Checkpoint(model=again).read(path)
    again.fit(x, y, epochs=1, verbose=0)
    model.fit(x, y, epochs=1, verbose=0)
    status.assert_consumed()
    for one, other in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_the_value_is_there_before_the_initializer_would_run(tmp_path):  # S21
    path = saved(tmp_path, net=module(v=tf.Variable([1.0, 2.0])))
    net = tf.Module()
    status = cp.Checkpoint(net=net).read(path)

    def never(*args, **kwargs):
        raise AssertionError("the initializer ran")

    from tensorflow.python.checkpoint.checkpoint import add_variable

    variable = add_variable(net, "v", (2,), tf.float32, never)
    assert variable.numpy().tolist() == [1.0, 2.0]
    status.assert_consumed()


def test_a_function_sees_restored_values(tmp_path):
    v = tf.Variable(2.0)
    double = tf.function(lambda: v * 2)
    path = saved(tmp_path, v=v)
    assert double().numpy() == 4
    v.assign(10.0)
    cp.Checkpoint(v=v).read(path)
    assert double().numpy() == 4


def test_a_variable_that_is_created_while_a_function_is_traced(tmp_path):
    path = saved(tmp_path, net=module(v=tf.Variable(5.0)))
    net = tf.Module()
    status = cp.Checkpoint(net=net).read(path)

    @tf.function
    def forward():
        if not hasattr(net, "v"):
            net.v = tf.Variable(0.0)
        return net.v * 2

    assert forward().numpy() == 10
    status.assert_consumed()


def test_values_read_before_a_restore_stay_what_they_were(tmp_path):
    v = tf.Variable(np.arange(100_000, dtype=np.float32))
    path = saved(tmp_path, v=v)
    v.assign(v * 0 + 7)
    before = v.read_value()
    cp.Checkpoint(v=v).read(path)
    after = v.read_value()
    v.assign_add(tf.ones_like(v))
    assert before.numpy()[:2].tolist() == [7, 7]
    assert after.numpy()[:3].tolist() == [0, 1, 2]
    assert v.numpy()[:3].tolist() == [1, 2, 3]
    again = saved(tmp_path, "again", v=v)
    assert cp.load_checkpoint(again).get_tensor("v/.ATTRIBUTES/VARIABLE_VALUE")[1] == 2


def test_of_several_restores_the_last_wins(tmp_path):  # S24
    one = saved(tmp_path, "one", net=module(v=tf.Variable(1), w=tf.Variable(10)))
    two = saved(tmp_path, "two", net=module(v=tf.Variable(2)))
    root = cp.Checkpoint()
    first, second = root.read(one), root.read(two)
    net = tf.Module()
    root.net = net
    net.v, net.w = tf.Variable(0), tf.Variable(0)
    assert (net.v.numpy(), net.w.numpy()) == (2, 10)
    first.assert_consumed()
    second.expect_partial()


@pytest.mark.parametrize("last", ["ours", "theirs"])
def test_of_our_restores_and_tensorflow_s_the_last_wins(tmp_path, last):  # S24
    one = saved(tmp_path, "one", net=module(sub=module(v=tf.Variable(1))))
    two = saved(tmp_path, "two", net=module(sub=module(v=tf.Variable(2))))
    net = tf.Module()
    ours, theirs = cp.Checkpoint(net=net), tf.train.Checkpoint(net=net)
    if last == "ours":
        theirs.read(one).expect_partial()
        ours.read(two).expect_partial()
    else:
        ours.read(one).expect_partial()
        theirs.read(two).expect_partial()
    sub = tf.Module()
    sub.v = tf.Variable(0)
    net.sub = sub
    assert sub.v.numpy() == 2


def test_one_node_for_two_objects_is_refused(tmp_path, caplog):  # S23
    shared = tf.Variable(1.0)
    path = saved(tmp_path, a=module(v=shared), b=module(v=shared))
    a, b = module(v=tf.Variable(0.0)), module(v=tf.Variable(0.0))
    status = cp.Checkpoint(a=a, b=b).read(path)
    assert (a.v.numpy(), b.v.numpy()) == (1.0, 0.0)
    with pytest.raises(AssertionError, match="b/v"):
        status.assert_existing_objects_matched()
    assert "b/v claims a/v" in caplog.text


def test_two_nodes_for_one_object_are_fine_if_equal(tmp_path):  # S23
    path = saved(tmp_path, a=module(v=tf.Variable(1.0)), b=module(v=tf.Variable(1.0)))
    shared = tf.Variable(0.0)
    cp.Checkpoint(a=module(v=shared), b=module(v=shared)).read(path).assert_consumed()
    assert shared.numpy() == 1


def test_a_loop_of_dependencies(tmp_path):  # S9
    first, second = tf.Module(), tf.Module()
    first.second, second.first = second, first
    first.v, second.v = tf.Variable(1), tf.Variable(2)
    path = saved(tmp_path, first=first)
    again = tf.Module()
    status = cp.Checkpoint(first=again).read(path)
    again.second = tf.Module()
    again.second.first = again
    again.v, again.second.v = tf.Variable(0), tf.Variable(0)
    assert (again.v.numpy(), again.second.v.numpy()) == (1, 2)
    status.assert_consumed()


def test_what_does_not_fit_changes_nothing_and_is_tried_again(tmp_path):  # S25
    path = saved(tmp_path, net=module(a=tf.Variable([1.0]), v=tf.Variable([1.0, 2.0])))
    net = module(a=tf.Variable([0.0]), v=tf.Variable([0.0]))
    with pytest.raises(cp.CheckpointMismatchError, match=r"net/v: shape \(2,\) .* \(1,\)"):
        cp.Checkpoint(net=net).read(path)
    assert net.a.numpy() == 0
    later = tf.Module()
    status = cp.Checkpoint(net=later).read(path)
    with pytest.raises(cp.CheckpointMismatchError, match=r"net/v: dtype float32 .* int32"):
        later.v = tf.Variable([1, 2])
    later.v = tf.Variable([0.0, 0.0])
    later.a = tf.Variable([0.0])
    assert later.v.numpy().tolist() == [1.0, 2.0]
    status.assert_consumed()


def test_a_size_that_is_not_fixed(tmp_path):
    path = saved(tmp_path, v=tf.Variable(np.ones((3, 2), np.float32)))
    v = tf.Variable(np.zeros((1, 2), np.float32), shape=tf.TensorShape((None, 2)))
    cp.Checkpoint(v=v).read(path).assert_consumed()
    assert v.numpy().shape == (3, 2)
    w = tf.Variable(np.zeros((1, 5), np.float32), shape=tf.TensorShape((None, 5)))
    with pytest.raises(cp.CheckpointMismatchError, match=r"\(3, 2\) .* \(None, 5\)"):
        cp.Checkpoint(v=w).read(path)


def test_waiting_restores_hold_nothing_alive_and_do_not_pile_up(tmp_path):  # S26
    path = saved(tmp_path, net=module(v=tf.Variable(1), w=tf.Variable(2)))
    net = module(v=tf.Variable(0))
    checkpoint = cp.Checkpoint(net=net)
    for _ in range(5):
        status = checkpoint.read(path).expect_partial()
    assert len(net._deferred_dependencies["w"]) == 2  # the last, and the one before
    gone = weakref.ref(net)
    del net, checkpoint
    gc.collect()
    assert gone() is not None  # the status asks for it
    del status
    gc.collect()
    assert gone() is None


def test_a_copy_of_an_object_that_waits(tmp_path):  # S21 S23
    """The restore waits for a dependency of the object, not of its copy."""
    module, optimizer = tf.Module(), tf.compat.v1.train.AdamOptimizer(0.1)
    module.v = tf.Variable([1.0, 2.0])
    module.list = [tf.Variable(3.0)]
    optimizer.minimize(lambda: tf.reduce_sum(module.v**2), var_list=[module.v])
    path = cp.Checkpoint(m=module, o=optimizer).save(f"{tmp_path}/ckpt")
    waits, later = tf.Module(), tf.compat.v1.train.AdamOptimizer(0.1)
    status = cp.Checkpoint(m=waits, o=later).restore(path)
    copied, other = copy.deepcopy(waits), copy.deepcopy(later)
    copied.v, copied.list = tf.Variable([5.0, 6.0]), [tf.Variable(7.0)]
    other.minimize(lambda: tf.reduce_sum(copied.v**2), var_list=[copied.v])
    assert copied.v.numpy().tolist() == pytest.approx([4.9, 5.9])
    assert copied.list[0].numpy() == 7.0
    waits.v, waits.list = tf.Variable([0.0, 0.0]), [tf.Variable(0.0)]
    assert waits.v.numpy().tolist() == module.v.numpy().tolist()
    later.minimize(lambda: tf.reduce_sum(waits.v**2), var_list=[waits.v])
    status.assert_consumed()
    # And one that is copied after it was restored is a program of its own.
    again = copy.deepcopy(waits)
    again.v.assign([0.0, 0.0])
    cp.Checkpoint(m=again).restore(path).expect_partial()
    assert again.v.numpy().tolist() == module.v.numpy().tolist() != waits.v.numpy().tolist()


def test_what_is_never_restored_is_said_once(tmp_path, caplog):  # S30
    path = saved(tmp_path, v=tf.Variable(1), w=tf.Variable(2))
    with caplog.at_level(logging.WARNING):
        status = cp.Checkpoint(v=tf.Variable(0)).read(path)
        del status
        gc.collect()
    assert "1 of 2 values were never restored" in caplog.text


def test_a_report(tmp_path):  # S31
    net = module(v=tf.Variable(1), old=tf.Variable([2.0]))
    path = saved(tmp_path, net=net, it=iter(tf.data.Dataset.range(3)))
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    again = cp.Checkpoint(net=module(v=tf.Variable(0), new=tf.Variable([0.0])), table=table)
    report = again.read(path).expect_partial().report()
    outcomes = {entry.path: entry.outcome for entry in report}
    assert outcomes["net/v"] is cp.Outcome.RESTORED
    assert outcomes["table"] is cp.Outcome.MISSING
    assert report.renames == {"net/old": "net/new"}
    assert again.plan(path).renames == report.renames


def test_renames(tmp_path):
    path = saved(tmp_path, net=module(old=tf.Variable([2.0])))
    net = module(new=tf.Variable([0.0]))
    cp.Checkpoint(net=net).read(path, renames={"net/old": "net/new"}).assert_consumed()
    assert net.new.numpy() == 2


@pytest.mark.parametrize("others", [0, 40])  # more are read at once
@pytest.mark.parametrize(
    "value", [[1.0, 2.0], 1.0, "text", ["text"]], ids=["sizes", "scalar", "string", "strings"]
)
@pytest.mark.parametrize("known", [True, False])
def test_an_uninitialized_variable_cannot_be_saved(tmp_path, value, known, others):
    from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

    full = tf.constant(value)
    shape = full.shape if known else tf.TensorShape(None)
    variable = UninitializedVariable(dtype=full.dtype, shape=shape, name="bare")
    net = [variable, *(tf.Variable(1.0) for _ in range(others))]
    path = saved(tmp_path, net=[tf.Variable(value), *net[1:]])
    checkpoint = cp.Checkpoint(net=net)
    for write in (checkpoint.write, checkpoint.write_async):
        with pytest.raises(ValueError, match=r"^net/0: the variable 'bare:0' is not initialized"):
            write(f"{tmp_path}/other")
    checkpoint.read(path).assert_consumed()
    np.testing.assert_array_equal(variable.numpy(), full.numpy())


def test_a_list_that_tensorflow_refuses_is_named(tmp_path):
    net = module(list=[tf.Variable(1), tf.Variable(2)])
    net.list.pop(0)
    with pytest.raises(ValueError, match=r"net/list: .*list wrapper"):
        saved(tmp_path, net=net)
