"""A real TensorFlow 1 model: by name into a graph with Adam, by its objects out of it, eagerly."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import checkpointable as cp
from tests.tf.files import contents
from tests.tf.programs import graph_and_session, v1


class Model(tf.Module):
    """The variables of a file, found by their names: trained ones have slots of Adam."""

    def __init__(self, path, make):
        super().__init__()
        shapes = dict(cp.list_variables(path))
        reader = cp.load_checkpoint(path)
        self.trained, self.others = {}, {}
        for name, shape in shapes.items():
            if name.startswith("beta") or name.endswith(("/Adam", "/Adam_1")):
                continue
            group = self.trained if f"{name}/Adam" in shapes else self.others
            group[name] = make(name, np.zeros(shape, reader.dtype(name)))


def test_the_seed_program_with_a_real_model(chiron_prefix, tmp_path):
    def in_graph(name, initial):
        return v1.get_variable(name, initializer=initial, use_resource=False)

    expected = contents(chiron_prefix)
    with graph_and_session() as (_, session):
        model, optimizer = Model(chiron_prefix, in_graph), v1.train.AdamOptimizer()
        variables = list(model.trained.values())
        loss = tf.add_n([tf.reduce_sum(v) for v in variables])
        optimizer.minimize(loss, var_list=variables)
        assert len(v1.global_variables()) == len(expected) == 167
        session.run(v1.global_variables_initializer())

        root = cp.Checkpoint(model=model, optimizer=optimizer)
        status = root.restore(chiron_prefix)
        assert not session.run(variables[0]).any()
        status.run_restore_ops(session)
        status.assert_consumed()
        for variable, value in zip(
            v1.global_variables(), session.run(v1.global_variables()), strict=True
        ):
            name = variable.op.name.replace("beta1_power_1", "beta1_power")
            np.testing.assert_array_equal(value, expected[name], name)
        path = root.save(f"{tmp_path}/objects", session=session)

    model = Model(chiron_prefix, lambda name, initial: tf.Variable(initial, name=name))
    optimizer = v1.train.AdamOptimizer()
    status = cp.Checkpoint(model=model, optimizer=optimizer).restore(path)
    for name, variable in (model.trained | model.others).items():
        np.testing.assert_array_equal(variable.numpy(), expected[name], name)
    for name, variable in model.trained.items():
        for slot, suffix in (("m", "/Adam"), ("v", "/Adam_1")):
            found = optimizer.get_slot(variable, slot).numpy()
            np.testing.assert_array_equal(found, expected[name + suffix], name)
    variables = list(model.trained.values())
    optimizer.minimize(lambda: tf.add_n([tf.reduce_sum(v) for v in variables]), var_list=variables)
    status.assert_consumed()
