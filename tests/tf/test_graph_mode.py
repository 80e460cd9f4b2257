"""Graphs and sessions: nothing runs until it is told to, and a graph is added to but once."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from tests.tf.files import assert_same_files, contents
from tests.tf.programs import Net, graph_and_session, trained, v1, values


@pytest.fixture(params=[True, False], ids=["resource", "reference"])
def resource(request):
    return request.param


@pytest.fixture
def saved(tmp_path, resource):
    """A trained program's checkpoint, and its values."""
    with graph_and_session() as (_, session):
        net, optimizer = trained(session, resource=resource)
        path = cp.Checkpoint(net=net, optimizer=optimizer).save(
            f"{tmp_path}/saved", session=session
        )
        return path, values(session, net, optimizer)


def test_the_seed_of_it_all(tmp_path, saved, resource):
    """`saver.restore(path).assert_consumed().run_restore_ops(session)`."""
    path, expected = saved
    with graph_and_session() as (_, session):
        net, optimizer = Net(7.0, resource=resource), v1.train.AdamOptimizer(0.1)
        optimizer.minimize(net.loss)
        root = cp.Checkpoint(net=net, optimizer=optimizer)
        saver = cp.CheckpointableSaver(root)
        _ = root.save_counter
        saver.restore(path).assert_consumed().run_restore_ops(session)
        assert values(session, net, optimizer) == expected


def test_the_same_file_as_tensorflow(tmp_path, resource):  # S12 S37
    with graph_and_session() as (_, session):
        net, optimizer = trained(session, resource=resource)
        checkpoint = tf.train.Checkpoint(net=net, optimizer=optimizer)
        checkpoint._maybe_create_save_counter()
        session.run(checkpoint.save_counter.initializer)
        with session.as_default():
            theirs = checkpoint.save(f"{tmp_path}/theirs")
        ours = cp.Checkpoint(net=net, optimizer=optimizer).save(f"{tmp_path}/ours", session=session)
    assert_same_files(theirs, ours)


def test_each_restores_the_other_s(tmp_path, saved, resource):
    path, expected = saved
    with graph_and_session() as (_, session), session.as_default():
        net, optimizer = Net(7.0, resource=resource), v1.train.AdamOptimizer(0.1)
        optimizer.minimize(net.loss)
        checkpoint = tf.train.Checkpoint(net=net, optimizer=optimizer)
        checkpoint.restore(path).assert_consumed().run_restore_ops()
        assert values(session, net, optimizer) == expected
        theirs = checkpoint.save(f"{tmp_path}/theirs")
    with graph_and_session() as (_, session), session.as_default():
        net, optimizer = Net(7.0, resource=resource), v1.train.AdamOptimizer(0.1)
        optimizer.minimize(net.loss)
        checkpoint = cp.Checkpoint(net=net, optimizer=optimizer)
        checkpoint.restore(theirs).assert_consumed().run_restore_ops()
        assert values(session, net, optimizer) == expected


def test_nothing_is_run_before_it_is_said(saved):  # S34
    path, expected = saved
    with graph_and_session() as (_, session):
        net, optimizer = trained(session, steps=1)
        before = values(session, net, optimizer)
        status = cp.Checkpoint(net=net, optimizer=optimizer).restore(path).assert_consumed()
        assert values(session, net, optimizer) == before
        status.run_restore_ops(session)
        assert values(session, net, optimizer) == expected
        session.run(net.x.assign([0.0, 0.0]))
        status.run_restore_ops(session)  # and once more
        assert values(session, net, optimizer) == expected


def test_what_is_created_later_is_restored_by_the_next_call(saved, resource):  # S34 S22
    path, expected = saved
    with graph_and_session() as (_, session):
        module, optimizer = tf.Module(), v1.train.AdamOptimizer(0.1)
        status = cp.Checkpoint(net=module, optimizer=optimizer).restore(path)
        status.run_restore_ops(session)
        with pytest.raises(AssertionError, match="net/x, net/y"):
            status.assert_consumed()
        net = Net(7.0, resource=resource)
        module.x, module.y = net.x, net.y
        status.run_restore_ops(session)
        assert values(session, net) == expected[:2]
        optimizer.minimize(net.loss)
        status.assert_consumed().run_restore_ops(session)
        assert values(session, net, optimizer) == expected


def test_the_rest_is_initialized(saved):  # S35
    path, expected = saved
    with graph_and_session() as (_, session):
        net, optimizer = Net(7.0), v1.train.AdamOptimizer(0.1)
        optimizer.minimize(net.loss)
        net.new = v1.get_variable("new", initializer=[1.0, 2.0])
        status = cp.Checkpoint(net=net, optimizer=optimizer).restore(path)
        status.initialize_or_restore(session)
        assert values(session, net, optimizer) == expected
        assert session.run(net.new).tolist() == [1.0, 2.0]
        with pytest.raises(AssertionError, match="net/new"):
            status.assert_existing_objects_matched()


@pytest.mark.parametrize("table", [v1.lookup.StaticHashTable, tf.lookup.StaticHashTable])
def test_a_first_start_initializes(tmp_path, table):  # S32
    with graph_and_session() as (_, session), session.as_default():
        net, optimizer = Net(7.0), v1.train.AdamOptimizer(0.1)
        optimizer.minimize(net.loss)
        net.table = table(tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([5])), -1)
        status = cp.Checkpoint(net=net, optimizer=optimizer).restore(None)
        with pytest.raises(AssertionError, match="No checkpoint specified"):
            status.run_restore_ops()
        status.initialize_or_restore()
        assert values(session, net)[0] == [7.0, 8.0]
        assert session.run(net.table.lookup(tf.constant("a"))) == 5


def test_a_later_restore_is_not_initialized_over(saved):  # S35
    path, expected = saved
    with graph_and_session() as (_, session):
        net, optimizer = Net(7.0), v1.train.AdamOptimizer(0.1)
        optimizer.minimize(net.loss)
        checkpoint = cp.Checkpoint(net=net, optimizer=optimizer)
        first = checkpoint.restore(None)
        second = checkpoint.restore(path)
        second.run_restore_ops(session)
        first.initialize_or_restore(session)
        assert values(session, net, optimizer) == expected


def test_of_two_restores_the_later_wins_whichever_is_run_last(tmp_path):  # S24
    with graph_and_session() as (_, session):
        net = Net(1.0)
        session.run(v1.global_variables_initializer())
        checkpoint = cp.Checkpoint(net=net)
        one = checkpoint.save(f"{tmp_path}/ckpt", session=session)
        session.run(net.x.assign([5.0, 6.0]))
        two = checkpoint.save(f"{tmp_path}/ckpt", session=session)
        first, second = checkpoint.restore(one), checkpoint.restore(two)
        second.run_restore_ops(session)
        first.run_restore_ops(session)
        assert session.run(net.x).tolist() == [5.0, 6.0]
        second.assert_consumed()


def test_saving_and_restoring_again_adds_nothing_to_a_finalized_graph(tmp_path, resource):  # S36
    with graph_and_session() as (graph, session):
        net, optimizer = trained(session, resource=resource)
        net.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        session.run(net.table.insert(tf.constant(["a"]), tf.constant([1], tf.int64)))
        checkpoint = cp.Checkpoint(net=net, optimizer=optimizer)
        path = checkpoint.save(f"{tmp_path}/ckpt", session=session)
        checkpoint.restore(path).assert_consumed().run_restore_ops(session)
        graph.finalize()
        for number in range(2, 5):
            session.run(net.x.initializer)
            path = checkpoint.save(f"{tmp_path}/ckpt", session=session)
            assert path.endswith(f"-{number}")
            # Another saver of the same objects finds the operations too.
            other = cp.Checkpoint(net=net, optimizer=optimizer)
            other.restore(path).assert_consumed().run_restore_ops(session)


def test_a_graph_that_is_finalized_too_early(tmp_path, resource):  # S36
    with graph_and_session() as (graph, session):
        net = Net(resource=resource)
        session.run(v1.global_variables_initializer())
        graph.finalize()
        # Reading variables takes no operation that is not there.
        path = cp.CheckpointableSaver(net).save(f"{tmp_path}/ckpt", session=session)
        with pytest.raises(RuntimeError, match="finalized, and has no operations that save"):
            cp.CheckpointableSaver(net).restore(path)


def test_the_default_session_is_used_and_asked_for(saved):  # S36
    path, expected = saved
    with tf.Graph().as_default():
        net = Net(7.0)
        status = cp.Checkpoint(net=net).restore(path).expect_partial()
        with pytest.raises(ValueError, match=r"pass the session .* or enter one"):
            status.run_restore_ops()
        with pytest.raises(ValueError, match="pass the session"):
            cp.Checkpoint(net=net).save(path)
        with v1.Session() as session:
            status.run_restore_ops()
            assert values(session, net) == expected[:2]


def test_graphs_and_sessions_do_not_touch_each_other(saved):  # S36
    path, expected = saved
    graphs, nets, sessions = [tf.Graph(), tf.Graph()], [], []
    for graph in graphs:
        with graph.as_default():
            nets.append(Net(7.0))
            sessions.append(v1.Session(graph=graph))
            sessions[-1].run(v1.global_variables_initializer())
    statuses = [cp.Checkpoint(net=net).restore(path).expect_partial() for net in nets]
    counts = [len(graph.get_operations()) for graph in graphs]
    other = v1.Session(graph=graphs[0])
    statuses[0].run_restore_ops(other)
    assert values(other, nets[0]) == expected[:2]
    assert values(sessions[0], nets[0])[0] == values(sessions[1], nets[1])[0] == [7.0, 8.0]
    with pytest.raises(ValueError, match="another graph"):
        statuses[0].run_restore_ops(sessions[1])
    statuses[1].run_restore_ops(sessions[1])
    assert values(sessions[1], nets[1]) == expected[:2]
    assert [len(graph.get_operations()) for graph in graphs] == counts
    for session in [*sessions, other]:
        session.close()


def test_one_optimizer_in_two_graphs(tmp_path):
    """Its non-slot variables belong to the graph that is entered (as in TensorFlow's tests)."""
    optimizer = v1.train.AdamOptimizer(0.1)
    paths = []
    for start in (1.0, 2.0):
        with graph_and_session() as (_, session):
            net = Net(start)
            step = optimizer.minimize(net.loss)
            session.run(v1.global_variables_initializer())
            for _ in range(int(start)):
                session.run(step)
            checkpoint = cp.Checkpoint(net=net, optimizer=optimizer)
            paths.append(checkpoint.save(f"{tmp_path}/{start}", session=session))
            before = values(session, net, optimizer)
            session.run(v1.global_variables_initializer())
            checkpoint.restore(paths[-1]).assert_consumed().run_restore_ops(session)
            assert values(session, net, optimizer) == before
    key = "optimizer/beta1_power/.ATTRIBUTES/VARIABLE_VALUE"
    assert [contents(path)[key] for path in paths] == pytest.approx([0.9**2, 0.9**3])


def test_a_checkpoint_number_that_is_a_variable_of_the_graph(tmp_path):  # S14
    with graph_and_session() as (_, session):
        net = Net()
        net.step = v1.train.create_global_step()
        session.run(v1.global_variables_initializer())
        session.run(net.step.assign(41))
        saver = cp.CheckpointableSaver(net)
        assert saver.save(f"{tmp_path}/ckpt", net.step, session).endswith("ckpt-41")
        with session.as_default():
            assert saver.save(f"{tmp_path}/ckpt", net.step).endswith("ckpt-41")


def test_a_checkpoint_number_that_is_a_tensor_of_the_graph(tmp_path, resource):  # S14 S36
    with graph_and_session() as (graph, session):
        net = Net(resource=resource)
        with v1.variable_scope("", use_resource=resource):
            net.step = v1.get_variable("step", initializer=np.int64(41))
        following = net.step + 1
        floating, several = tf.cast(following, tf.float32), tf.stack([following, following])
        session.run(v1.global_variables_initializer())
        saver = cp.CheckpointableSaver(net)
        saver.save(f"{tmp_path}/ckpt", session=session)
        count = len(graph.get_operations())
        graph.finalize()
        for number, expected in ((following, 42), (net.step, 41)):
            path = saver.save(f"{tmp_path}/ckpt", number, session)
            assert path == f"{tmp_path}/ckpt-{expected}"
            path = cp.Saver([net.x]).save(f"{tmp_path}/by-name", number, session)
            assert path == f"{tmp_path}/by-name-{expected}"
            with session.as_default():
                assert saver.save(f"{tmp_path}/ckpt", number).endswith(f"-{expected}")
        assert len(graph.get_operations()) == count
        for wrong, what in ((floating, "dtype float32"), (several, r"shape \(2,\)")):
            with pytest.raises(
                ValueError, match=f"checkpoint_number must be one integer, .*{what}"
            ):
                saver.save(f"{tmp_path}/ckpt", wrong, session)
    with pytest.raises(ValueError, match="pass the session"):
        saver.save(f"{tmp_path}/ckpt", following)
    with graph_and_session() as (_, other), pytest.raises(ValueError, match="another graph"):
        saver.save(f"{tmp_path}/ckpt", following, other)


def test_from_a_graph_to_eager_and_back(tmp_path, saved):  # S37
    path, expected = saved
    net, optimizer = tf.Module(), v1.train.AdamOptimizer(0.1)
    net.x, net.y = tf.Variable([0.0, 0.0]), tf.Variable([[0.0], [0.0]])
    checkpoint = cp.Checkpoint(net=net, optimizer=optimizer)
    # The slots are made for the purpose; the accumulators wait for the first step.
    status = checkpoint.restore(path)
    assert [net.x.numpy().tolist(), net.y.numpy().tolist()] == expected[:2]
    assert optimizer.get_slot(net.x, "m").numpy().tolist() == expected[2]
    loss = lambda: tf.reduce_sum(net.x**2) + tf.reduce_sum(net.y**3)  # noqa: E731
    optimizer.minimize(loss, var_list=[net.x, net.y])
    status.assert_consumed()
    assert optimizer._get_beta_accumulators()[0].numpy() == pytest.approx(0.9**5)
    again = checkpoint.save(f"{tmp_path}/eager")
    assert cp.latest_checkpoint(tmp_path) == again
    with graph_and_session() as (_, session):
        other, optimizer = Net(7.0), v1.train.AdamOptimizer(0.1)
        optimizer.minimize(other.loss)
        status = cp.Checkpoint(net=other, optimizer=optimizer).restore(again)
        status.assert_consumed().run_restore_ops(session)
        restored = session.run(other.x).tolist()
    assert restored == net.x.numpy().tolist()


def test_a_shape_that_does_not_fit_is_found_at_restore(saved):  # S25
    path, _ = saved
    with graph_and_session() as (_, session):
        net = Net(7.0)
        session.run(v1.global_variables_initializer())
        net.y = v1.get_variable("other", initializer=np.zeros((5, 5)))
        with pytest.raises(cp.CheckpointMismatchError, match=r"net/y: dtype float32 .*\(2, 1\)"):
            cp.Checkpoint(net=net).restore(path)
        assert session.run(net.x).tolist() == [7.0, 8.0]


def test_tables_iterators_strings_and_python_state(tmp_path):
    from tests.tf.test_interchange import Numbers

    def program(n):
        module = tf.Module()
        module.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        module.text = v1.get_variable("text", initializer=tf.constant([f"text {n}", ""]))
        module.state = Numbers(n)
        data = v1.data.make_initializable_iterator(tf.data.Dataset.range(10, 20))
        module.iterator = data
        return module, data.get_next()

    with graph_and_session() as (graph, session):
        module, following = program(1)
        session.run([v1.global_variables_initializer(), module.iterator.initializer])
        session.run(module.table.insert(tf.constant(["a"]), tf.constant([3], tf.int64)))
        assert [session.run(following) for _ in range(3)] == [10, 11, 12]
        saver = cp.CheckpointableSaver(module)
        path = saver.save(f"{tmp_path}/ckpt", session=session)
        count = len(graph.get_operations())
        saver.save(f"{tmp_path}/ckpt", session=session)
        assert len(graph.get_operations()) == count
        theirs = tf.train.Checkpoint(module)
        with session.as_default():
            assert_same_files(theirs.write(f"{tmp_path}/theirs"), cp.Checkpoint(module).write(path))
    with graph_and_session() as (_, session):
        module, following = program(2)
        session.run(module.iterator.initializer)  # TensorFlow restores no other
        status = cp.CheckpointableSaver(module).restore(path).assert_existing_objects_matched()
        assert module.state.number == 1  # Python state is no part of the graph
        status.run_restore_ops(session)
        assert session.run(following) == 13
        assert session.run(module.text).tolist() == [b"text 1", b""]
        assert session.run(module.table.lookup(tf.constant("a"))) == 3


def test_old_saveables_in_a_graph(tmp_path):
    from tests.tf.test_interchange import OldSaveable

    with graph_and_session() as (graph, session):
        old = OldSaveable(2)
        session.run(old.v.initializer)
        checkpoint = cp.Checkpoint(old=old)
        path = checkpoint.save(f"{tmp_path}/ckpt", session=session)
        session.run(old.v.assign([0.0, 0.0]))
        checkpoint.restore(path).assert_consumed().run_restore_ops(session)
        assert session.run(old.v).tolist() == [2.0, 4.0]
        count = len(graph.get_operations())
        checkpoint.restore(checkpoint.save(path, session=session)).run_restore_ops(session)
        assert len(graph.get_operations()) == count


def test_a_graph_is_not_kept_alive(saved):  # S26
    path, _ = saved
    with graph_and_session() as (graph, session):
        net = Net(7.0)
        status = cp.Checkpoint(net=net).restore(path).expect_partial()
        status.run_restore_ops(session)
        gone = weakref.ref(graph)
    del graph, session, net, status
    gc.collect()
    assert gone() is None


def test_values_larger_than_a_batch(tmp_path, monkeypatch):
    from checkpointable.adapters.tensorflow.graph_mode import executor

    monkeypatch.setattr(executor, "_BATCH_SIZE", 100)
    with graph_and_session() as (_, session):
        module = tf.Module()
        module.list = [
            v1.get_variable(f"v{i}", initializer=np.full((i, 7), i, np.float32)) for i in range(9)
        ]
        session.run(v1.global_variables_initializer())
        saver = cp.CheckpointableSaver(module)
        path = saver.save(f"{tmp_path}/ckpt", session=session)
        session.run([v.assign(v + 1) for v in module.list])
        saver.restore(path).assert_consumed().run_restore_ops(session)
        assert [v.flat[0] for v in session.run(module.list)[1:]] == list(range(1, 9))
