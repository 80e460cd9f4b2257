"""Keras on PyTorch: its layers are modules, and TensorFlow has no part in it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
sys.modules["tensorflow"] = None  # as if it were not installed
import keras, numpy as np
import checkpointable as cp

def make():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

class Program(cp.Checkpointable):
    def __init__(self):
        self.model = make()
        self.optimizer = keras.optimizers.Adam()

first = Program()
keras.utils.clear_session()  # Keras numbers the layers of a process
again = Program()
path = cp.CheckpointableSaver(first).save(sys.argv[1] + "/ckpt")
cp.CheckpointableSaver(again).restore(path).assert_consumed()
for one, other in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
    np.testing.assert_array_equal(one, other)
"""


def test_it_needs_no_tensorflow(tmp_path):
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True)
