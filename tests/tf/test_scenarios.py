"""What TensorFlow's own tests of checkpoints tell, told anew: saved and restored in either mode.

Scenarios of tensorflow/python/checkpoint/{checkpoint,checkpoint_with_v1_optimizers}_test.py and
tensorflow/python/trackable/*_test.py, by what the modules beside them promise.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp
from tests.tf.files import assert_same_files
from tests.tf.programs import v1


class Program:
    """Builds, runs and checks in one mode.

    Attributes:
      session: that of the graph; None eagerly.
    """

    def __init__(self, session):
        self.session = session

    def variable(self, value, name="v"):
        array = np.asarray(value, np.float32)
        if self.session is None:
            return tf.Variable(array, name=name)
        return v1.Variable(array, name=name, use_resource=True)

    def run(self, *operations):
        """Runs operations that eagerly have run when they were made."""
        if self.session is not None:
            self.session.run(operations)

    def initialize(self):
        if self.session is not None:
            self.session.run(v1.global_variables_initializer())

    def of(self, variable):
        read = variable.numpy() if self.session is None else self.session.run(variable)
        return read.tolist()

    def minimize(self, optimizer, loss, variables):
        """One step, eagerly; the operation of one in a graph."""
        if self.session is None:
            return optimizer.minimize(loss, var_list=variables)
        return optimizer.minimize(loss(), var_list=variables)


@contextlib.contextmanager
def eager():
    yield Program(None)


@contextlib.contextmanager
def graph():
    with tf.Graph().as_default(), v1.Session() as session:
        yield Program(session)


@pytest.fixture(params=[eager, graph], ids=["saved-eagerly", "saved-in-a-graph"])
def before(request):
    return request.param


@pytest.fixture(params=[eager, graph], ids=["restored-eagerly", "restored-in-a-graph"])
def after(request):
    return request.param


def save(program, directory, **objects):
    program.initialize()
    return cp.Checkpoint(**objects).save(f"{directory}/ckpt", session=program.session)


def test_one_node_for_two_objects(tmp_path, before, after, caplog):  # S23
    with before() as program:
        root = tf.Module()
        root.a = root.b = tf.Module()
        root.a.v = program.variable([1.0, 2.0])
        path = save(program, tmp_path, net=root)
    with after() as program:
        root = tf.Module()
        root.a, root.b = tf.Module(), tf.Module()
        root.a.v, root.b.v = program.variable([0.0, 0.0]), program.variable([7.0, 7.0])
        status = cp.Checkpoint(net=root).restore(path)
        assert "net/b claims net/a" in caplog.text
        status.initialize_or_restore(program.session)
        assert (program.of(root.a.v), program.of(root.b.v)) == ([1.0, 2.0], [7.0, 7.0])
        with pytest.raises(AssertionError, match="net/b"):
            status.assert_consumed()


def test_two_nodes_for_one_object(tmp_path, before, after):  # S23
    with before() as program:
        root = tf.Module()
        root.a, root.b = tf.Module(), tf.Module()
        root.a.x, root.b.y = program.variable([1.0]), program.variable([2.0])
        path = save(program, tmp_path, net=root)
    with after() as program:
        root = tf.Module()
        root.a = root.b = tf.Module()
        root.a.x, root.a.y = program.variable([0.0]), program.variable([0.0])
        status = cp.Checkpoint(net=root).restore(path).assert_consumed()
        status.run_restore_ops(program.session)
        assert (program.of(root.a.x), program.of(root.b.y)) == ([1.0], [2.0])


def test_a_loop_of_dependencies(tmp_path, before, after):  # S9 S21
    with before() as program:
        one, two = tf.Module(), tf.Module()
        one.two, two.one = two, one
        one.v, two.v = program.variable([1.0]), program.variable([2.0])
        path = save(program, tmp_path, one=one)
    with after() as program:
        one, two = tf.Module(), tf.Module()
        status = cp.Checkpoint(one=one).restore(path)
        one.v = program.variable([0.0])
        two.v = program.variable([0.0])
        one.two, two.one = two, one
        status.assert_consumed().run_restore_ops(program.session)
        assert (program.of(one.v), program.of(two.v)) == ([1.0], [2.0])


def test_lists_dicts_and_tuples_that_come_and_grow(tmp_path, before, after):  # S3 S21
    with before() as program:
        root = tf.Module()
        root.list = [program.variable([1.0]), [program.variable([2.0])]]
        root.dict = {"a": program.variable([3.0]), "b": {"c": program.variable([4.0])}}
        root.tuple = (program.variable([5.0]), 3)
        path = save(program, tmp_path, net=root)
    with after() as program:
        root = tf.Module()
        status = cp.Checkpoint(net=root).restore(path)
        root.list, root.dict = [], {}
        status.run_restore_ops(program.session)  # what there is so far: nothing
        root.list.append(program.variable([0.0]))
        root.list.append([])
        root.list[1].append(program.variable([0.0]))
        root.dict["b"] = {}
        root.dict["b"]["c"] = program.variable([0.0])
        root.dict["a"] = program.variable([0.0])
        root.tuple = (program.variable([0.0]), 3)
        status.assert_consumed().run_restore_ops(program.session)
        found = [root.list[0], root.list[1][0], root.dict["a"], root.dict["b"]["c"], root.tuple[0]]
        assert [program.of(v) for v in found] == [[1.0], [2.0], [3.0], [4.0], [5.0]]


def test_an_empty_container_that_comes_later(tmp_path, before, after):  # S28
    with before() as program:
        root = tf.Module()
        root.v = program.variable([1.0])
        path = save(program, tmp_path, net=root)
    with after() as program:
        root = tf.Module()
        root.v, root.layers = program.variable([0.0]), []
        status = cp.Checkpoint(net=root).restore(path).assert_consumed()
        root.layers.append(tf.Module())
        status.assert_existing_objects_matched().run_restore_ops(program.session)
        assert program.of(root.v) == [1.0]


def test_overlapping_restores(tmp_path, before, after):  # S19 S24
    """Two checkpoints, each of a part, and a third of both."""
    with before() as program:
        root = tf.Module()
        root.left, root.right = tf.Module(), tf.Module()
        root.left.v, root.right.v = program.variable([1.0]), program.variable([2.0])
        program.initialize()
        left = cp.CheckpointableSaver(root.left).save(f"{tmp_path}/left", session=program.session)
        both = cp.CheckpointableSaver(root).save(f"{tmp_path}/both", session=program.session)
        program.run(root.left.v.assign([10.0]), root.right.v.assign([20.0]))
        right = cp.CheckpointableSaver(root.right).save(
            f"{tmp_path}/right", session=program.session
        )
    with after() as program:
        root = tf.Module()
        root.left, root.right = tf.Module(), tf.Module()
        root.left.v, root.right.v = program.variable([0.0]), program.variable([0.0])
        program.initialize()
        statuses = [
            cp.CheckpointableSaver(root).restore(both),
            cp.CheckpointableSaver(root.right).restore(right),
            cp.CheckpointableSaver(root.left).restore(left),
        ]
        for status in reversed(statuses):  # in whatever order: the last restore wins
            status.assert_consumed().run_restore_ops(program.session)
        assert (program.of(root.left.v), program.of(root.right.v)) == ([1.0], [20.0])


def test_slots_come_before_and_after_their_variables(tmp_path, before, after):  # S11 S22
    def loss(variables):
        return lambda: sum(tf.reduce_sum(v**2) for v in variables)

    def optimizer():
        return v1.train.MomentumOptimizer(0.1, 0.9)

    with before() as program:
        root, trained = tf.Module(), optimizer()
        root.x, root.y = program.variable([1.0, 2.0], "x"), program.variable([3.0], "y")
        step = program.minimize(trained, loss([root.x, root.y]), [root.x, root.y])
        program.initialize()
        program.run(step)
        path = cp.Checkpoint(net=root, o=trained).save(f"{tmp_path}/c", session=program.session)
        expected = [program.of(v) for v in (root.x, root.y)]
        expected += [program.of(trained.get_slot(v, "momentum")) for v in (root.x, root.y)]
    with after() as program:
        root, untrained = tf.Module(), optimizer()
        root.x = program.variable([0.0, 0.0], "x")
        status = cp.Checkpoint(net=root, o=untrained).restore(path)
        step = program.minimize(untrained, loss([root.x]), [root.x])
        root.y = program.variable([0.0], "y")
        again = program.minimize(untrained, loss([root.y]), [root.y])
        status.assert_consumed().run_restore_ops(program.session)
        if program.session is None:  # the steps are in the values: undo them
            cp.Checkpoint(net=root, o=untrained).restore(path).assert_consumed()
        del step, again
        found = [program.of(v) for v in (root.x, root.y)]
        found += [program.of(untrained.get_slot(v, "momentum")) for v in (root.x, root.y)]
        assert found == expected


def test_an_attribute_that_is_deleted_or_replaced(tmp_path, before, after):  # S2 S17
    with before() as program:
        root = tf.Module()
        root.a, root.b = program.variable([1.0], "a"), program.variable([2.0], "b")
        save(program, tmp_path, net=root)
        del root.a
        root.b = program.variable([3.0], "c")
        path = save(program, tmp_path, net=root)
        names = {key.partition("/.ATT")[0] for key, _ in cp.list_variables(path) if "net/" in key}
        assert names == {"net/b"}
    with after() as program:
        root = tf.Module()
        root.a, root.b = program.variable([0.0]), program.variable([0.0])
        status = cp.Checkpoint(net=root).restore(path)
        with pytest.raises(AssertionError, match="net/a"):
            status.assert_existing_objects_matched()
        del root.a
        status.assert_consumed().run_restore_ops(program.session)
        assert program.of(root.b) == [3.0]


def test_what_replaces_a_restored_object_keeps_its_values(tmp_path):  # S23
    def program(b=0.0):
        root = tf.Module()
        root.a, root.inner = tf.Variable([b]), tf.Module()
        root.inner.v = tf.Variable([b])
        return root

    path = f"{tmp_path}/c"
    whole = program(3.0)
    whole.waited_for = tf.Variable([1.0])
    cp.Checkpoint(net=whole).write(path)
    for library in (cp.Checkpoint, tf.train.Checkpoint):
        root = program()
        status = library(net=root).read(path)
        root.a, root.inner = tf.Variable([7.0]), tf.Module()
        root.inner.v = tf.Variable([7.0])
        assert root.a.numpy() == root.inner.v.numpy() == 7
        with pytest.raises(AssertionError):
            status.assert_existing_objects_matched()
        status.expect_partial()


def test_templates(tmp_path, before, after):  # S21
    """A `tf.compat.v1.make_template` tracks what its function makes, other templates too."""

    def build(name):
        def inner():
            zeros = v1.zeros_initializer()
            return [
                v1.get_variable(n, shape=[2], initializer=zeros, use_resource=True) for n in "vw"
            ]

        def outer():
            nested = v1.make_template("nested", inner)
            return [*nested(), *inner()]

        return v1.make_template(name, outer)

    with before() as program:
        template = build("one")
        variables = template()
        program.initialize()
        program.run(*[v.assign([n, n]) for n, v in enumerate(variables)])
        checkpoint = cp.Checkpoint(template=template)
        path = checkpoint.save(f"{tmp_path}/ours", session=program.session)
        theirs = tf.train.Checkpoint(template=template)
        with contextlib.nullcontext() if program.session is None else program.session.as_default():
            theirs.save_counter.assign(1) if program.session is None else program.run(
                theirs.save_counter.initializer, theirs.save_counter.assign(1)
            )
            assert_same_files(theirs.write(f"{tmp_path}/theirs"), path)
    with after() as program:
        template = build("two")
        status = cp.Checkpoint(template=template).restore(path)
        variables = template()
        status.assert_consumed().run_restore_ops(program.session)
        assert [program.of(v) for v in variables] == [[float(n)] * 2 for n in range(4)]


def test_a_random_generator_goes_on(tmp_path, before, after):  # S37
    with before() as program:
        generator = tf.random.Generator.from_seed(3)
        drawn = generator.normal([2])
        path = save(program, tmp_path, generator=generator)
        if program.session is not None:
            program.run(drawn)
            path = cp.Checkpoint(generator=generator).save(path, session=program.session)
    with after() as program:
        generator = tf.random.Generator.from_seed(4)
        status = cp.Checkpoint(generator=generator).restore(path).assert_consumed()
        status.run_restore_ops(program.session)
        following = generator.normal([2])
        if program.session is not None:
            following = program.session.run(following)
        expected = tf.random.Generator.from_seed(3)
        expected.normal([2])
        found = np.asarray(following)
    expected = tf.random.Generator.from_seed(3)
    expected.normal([2])
    np.testing.assert_array_equal(found, expected.normal([2]).numpy())


def test_the_same_program_for_both_modes(tmp_path, before, after):  # S32 S34 S35
    """`restore(latest).initialize_or_restore(session)`, at a first start and at later ones."""
    for start, mode in enumerate((before, before, after)):
        with mode() as program:
            root = tf.Module()
            root.v = program.variable([0.0])
            checkpoint = cp.Checkpoint(net=root)
            status = checkpoint.restore(cp.latest_checkpoint(tmp_path))
            status.initialize_or_restore(program.session)
            assert program.of(root.v) == [float(start)]
            program.run(root.v.assign_add([1.0]))
            path = checkpoint.save(f"{tmp_path}/ckpt", session=program.session)
            assert path.endswith(f"-{start + 1}")
