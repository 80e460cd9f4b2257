"""Variables that a strategy distributes, on two processors made of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import checkpointable as cp

directory = sys.argv[1]
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    v = tf.Variable([1.0, 2.0], name="v")
    text = tf.Variable("text", name="text")
    on_read = tf.Variable(
        1.0, synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM, name="on_read",
    )
assert len(v.values) == 2

def both(variable):
    return [copy.numpy().tolist() for copy in variable.values]

theirs = tf.train.Checkpoint(v=v, text=text).save(f"{directory}/theirs")
ours = cp.Checkpoint(v=v, text=text).save(f"{directory}/ours")
read = tf.train.load_checkpoint
keys = read(theirs).get_variable_to_shape_map()
assert read(ours).get_variable_to_shape_map() == keys
graph = "_CHECKPOINTABLE_OBJECT_GRAPH"
message = type(cp.object_metadata(ours))
assert str(cp.object_metadata(ours)) == str(cp.object_metadata(theirs))

for path in ours, theirs:
    v.assign([0.0, 0.0])
    cp.Checkpoint(v=v, text=text).restore(path).assert_consumed()
    assert both(v) == [[1.0, 2.0]] * 2, both(v)
    v.values[0].assign_add([1.0, 1.0])  # each copy has memory of its own
    assert both(v) == [[2.0, 3.0], [1.0, 2.0]], both(v)
    assert text.numpy() == b"text"
v.assign([0.0, 0.0])
tf.train.Checkpoint(v=v, text=text).restore(ours).assert_consumed()
assert both(v) == [[1.0, 2.0]] * 2

# One that is created later.
root = cp.Checkpoint()
status = root.restore(ours)
with strategy.scope():
    root.v = tf.Variable([0.0, 0.0])
    root.text = tf.Variable("")
assert both(root.v) == [[1.0, 2.0]] * 2
status.assert_consumed()

# In a program without a strategy, and back.
plain = tf.Variable([0.0, 0.0])
cp.Checkpoint(v=plain).restore(ours).expect_partial()
assert plain.numpy().tolist() == [1.0, 2.0]

from tensorflow.python.distribute.sharded_variable import ShardedVariable
sharded = ShardedVariable([tf.Variable([1.0]), tf.Variable([2.0])], name="sharded")
for name, variable in (("on_read", on_read), ("sharded", sharded)):
    try:
        cp.Checkpoint(**{name: variable}).save(f"{directory}/refused")
    except NotImplementedError as error:
        assert name in str(error) and "only MirroredVariables" in str(error), error
    else:
        raise AssertionError(name)

# Keras under the strategy.
import keras
with strategy.scope():
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
model.fit(np.ones((4, 3)), np.zeros((4, 2)), batch_size=4, verbose=0)
path = cp.Checkpoint(model=model).save(f"{directory}/model")
expected = [v.numpy() for v in model.variables]
model.fit(np.ones((4, 3)), np.zeros((4, 2)), batch_size=4, verbose=0)
cp.Checkpoint(model=model).restore(path).assert_consumed()
for one, other in zip(expected, model.variables, strict=True):
    np.testing.assert_array_equal(one, other.numpy())
print("done")
"""


def test_mirrored_variables_are_saved_once_and_restored_to_all(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.endswith("done\n")
