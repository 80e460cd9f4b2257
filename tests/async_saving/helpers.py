"""A program whose saves do not block, and what they have written."""

from __future__ import annotations

import numpy as np

import checkpointable as cp

KEY = "v/.ATTRIBUTES/VARIABLE_VALUE"


def program(value=1.0, size=1000):
    variable = cp.Variable(np.full(size, value))
    return variable, cp.Checkpoint(v=variable)


def stored(path, key=KEY):
    with cp.load_checkpoint(path) as reader:
        return reader.get_tensor(key)
