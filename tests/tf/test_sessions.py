"""What a session does not have, where operations are put, and what counts steps in a graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

import checkpointable as cp
from tests.tf.programs import Net, graph_and_session, trained, v1, values


@pytest.fixture(params=[True, False], ids=["resource", "reference"])
def resource(request):
    return request.param


def test_a_variable_that_is_not_initialized_is_named(tmp_path, resource):
    with graph_and_session() as (graph, session):
        net = Net(resource=resource)
        cp.CheckpointableSaver(net).restore(None).initialize_or_restore(session)
        with v1.variable_scope("late", use_resource=resource):
            net.later = [v1.get_variable("x", initializer=np.float32([1.0]))]
        saver = cp.CheckpointableSaver(net)
        for save in (saver.save, saver.save_async):
            with pytest.raises(ValueError, match=r"^later/0: the variable 'late/x:0' is not init"):
                save(f"{tmp_path}/ckpt", session=session)
        with pytest.raises(ValueError, match="'late/x:0' is not initialized in this session"):
            cp.Saver([net.x, net.later]).save(f"{tmp_path}/ckpt", session=session)
        assert not list(tmp_path.iterdir())
        count = len(graph.get_operations())
        with pytest.raises(ValueError, match="not initialized"):
            saver.save(f"{tmp_path}/ckpt", session=session)
        assert len(graph.get_operations()) == count


def test_an_iterator_that_cannot_be_read_is_named(tmp_path):
    with graph_and_session() as (_, session):
        root = tf.Module()
        root.range = v1.data.make_initializable_iterator(tf.data.Dataset.range(3))
        checkpoint = cp.CheckpointableSaver(root)
        with pytest.raises(ValueError, match=r"^range: TensorFlow cannot read .*init"):
            checkpoint.save(f"{tmp_path}/ckpt", session=session)
        session.run(root.range.initializer)
        data = tf.data.Dataset.from_generator(lambda: iter(()), output_signature=tf.TensorSpec(()))
        root.python = v1.data.make_initializable_iterator(data)
        session.run(root.python.initializer)
        with pytest.raises(ValueError, match=r"^python: TensorFlow .* Iterator: PyFunc"):
            checkpoint.save(f"{tmp_path}/ckpt", session=session)


def test_what_nothing_initializes_is_named(tmp_path):  # S35
    with graph_and_session() as (_, session):
        root = tf.Module()
        root.x = UninitializedVariable(shape=(2,), dtype=tf.float32, name="bare")
        root.once = v1.data.make_one_shot_iterator(tf.data.Dataset.range(3))  # needs none
        saver = cp.CheckpointableSaver(root)
        for status in (saver.restore(None), saver.restore(cp.Checkpoint().write(f"{tmp_path}/e"))):
            with pytest.raises(ValueError, match="the variable 'bare:0' has neither contents"):
                status.initialize_or_restore(session)
        session.run(root.x.assign([1.0, 2.0]))
        saver.restore(None).initialize_or_restore(session)
        path = saver.save(f"{tmp_path}/ckpt", session=session)
    assert cp.load_checkpoint(path).get_tensor("x/.ATTRIBUTES/VARIABLE_VALUE").tolist() == [1, 2]


@pytest.mark.parametrize("by_name", [False, True])
def test_operations_are_on_no_device_of_the_program_s(tmp_path, resource, by_name):  # S36
    """`with tf.device(…)` around a restore is not meant for what the restore adds."""
    with graph_and_session() as (graph, session):
        net, optimizer = trained(session, resource=resource)
        objects = {"net": net, "optimizer": optimizer}
        expected = values(session, net, optimizer)
        saver = cp.CheckpointableSaver(cp.Checkpoint(**objects))
        if by_name:
            saver = cp.Saver(v1.global_variables())
        again = v1.global_variables_initializer()
        with graph.device("/device:GPU:7"):
            path = saver.save(f"{tmp_path}/ckpt", session=session)
            session.run(again)
            if by_name:
                saver.restore(path, session)
            else:
                saver.restore(path).assert_consumed().run_restore_ops(session)
        assert values(session, net, optimizer) == expected
        added = [op for op in graph.get_operations() if op.name.startswith("checkpointable")]
        assert added
        assert not [op for op in added if "GPU" in op.device]


def test_a_saver_of_all_that_the_graph_has(tmp_path):  # S40
    def build():
        scope = v1.variable_scope("net", partitioner=v1.fixed_size_partitioner(2))
        with scope:
            parts = v1.get_variable("parts", (3,), initializer=v1.random_normal_initializer())
        old = v1.get_variable("old", initializer=np.float32(4.0), use_resource=False)
        table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        filled = table.insert(tf.constant(["k"]), tf.constant([5], tf.int64))
        return [tf.convert_to_tensor(parts), old.read_value(), table.size()], filled

    with graph_and_session() as (_, session):
        tensors, filled = build()
        session.run([v1.global_variables_initializer(), filled])
        expected = session.run(tensors)
        ours = cp.Saver().save(f"{tmp_path}/ours", session=session)
        theirs = v1.train.Saver().save(session, f"{tmp_path}/theirs")
    names = [name for name, _ in cp.list_variables(ours)]
    assert names == [name for name, _ in cp.list_variables(theirs)]
    assert len(names) == 4
    for restore in (
        lambda session: cp.Saver().restore(theirs, session),
        lambda session: v1.train.Saver().restore(session, ours),
    ):
        with graph_and_session() as (_, session):
            tensors, _ = build()
            restore(session)
            for value, own in zip(session.run(tensors), expected, strict=True):
                np.testing.assert_array_equal(value, own)
    with pytest.raises(ValueError, match="only while a TensorFlow graph is being built"):
        cp.Saver()


def test_a_step_counter_of_the_graph(tmp_path):  # S36
    """As TensorFlow's manager has it; a session may be given, too."""

    def saves(make, path, session, **given):
        session.run(v1.global_variables_initializer())
        manager = make(path, max_to_keep=9, step_counter=step, checkpoint_interval=2)
        return [manager.save(**given) is not None for _ in range(5) if session.run(more)]

    with graph_and_session() as (_, session):
        step = v1.train.create_global_step()
        more = step.assign_add(1)
        checkpoint = tf.train.Checkpoint(step=step)
        checkpoint.restore(None).initialize_or_restore(session)
        theirs = lambda *a, **k: tf.train.CheckpointManager(checkpoint, *a, **k)  # noqa: E731
        ours = lambda *a, **k: cp.CheckpointManager(cp.Checkpoint(step=step), *a, **k)  # noqa: E731
        with session.as_default():
            expected = saves(theirs, f"{tmp_path}/theirs", session)
            assert saves(ours, f"{tmp_path}/ours", session) == expected
        assert expected == [True, False, True, False, True]
    with graph_and_session() as (_, session):
        step = v1.train.create_global_step()
        more = step.assign_add(1)
        manager = cp.CheckpointManager(
            cp.Checkpoint(step=step),
            f"{tmp_path}/ours",
            9,
            step_counter=step,
            checkpoint_interval=2,
        )
        # Which step it is that was restored is known only when a session has restored it.
        manager.restore_latest_valid().run_restore_ops(session)
        found = [manager.save(session=session) is not None for _ in range(3) if session.run(more)]
        assert found == [True, False, True]
