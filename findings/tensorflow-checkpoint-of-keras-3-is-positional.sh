#!/usr/bin/env bash
# Keras 3.15.1 with TensorFlow 2.21.0: tf.train.Checkpoint gives Adam's moments to the other layer.
#
# A guess: object-based checkpoints match by attribute names, so declaring two layers of a subclassed
# model in the other order changes nothing, neither for the weights nor for the optimizer.
# Seen: the weights are matched by attribute and come back right. A Keras 3 optimizer keeps its state
# in flat lists (`_variables/N`), in the order of the model's variables, so the moments of each layer are
# restored into the other's. `assert_consumed()` passes.
#
# Output seen (tensorflow-cpu 2.21.0, keras 3.15.1, 2026-12-01):
#   weights right: True
#   first moment of layer a: saved 1.0, restored 2.0 (layer b's was 2.0)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 keras==3.15.1
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow "$folder/env/bin/python" - "$folder/ckpt" <<'PYTHON' 2>/dev/null
import sys

import keras
import numpy as np
import tensorflow as tf


class Model(keras.Model):
    def __init__(self, order):
        super().__init__()
        for name in order:  # the same two attributes, declared in either order
            setattr(self, name, keras.layers.Dense(2, use_bias=False))

    def call(self, x):
        return self.b(self.a(x))


def program(order):
    model, optimizer = Model(order), keras.optimizers.Adam()
    model(np.ones((1, 2), "float32"))
    optimizer.build(model.trainable_variables)
    return model, optimizer


def moment(model, optimizer, layer):
    kernel = getattr(model, layer).kernel
    index = next(i for i, v in enumerate(model.trainable_variables) if v is kernel)
    return optimizer._momentums[index]


model, optimizer = program("ab")
moment(model, optimizer, "a").assign(np.ones((2, 2)))
moment(model, optimizer, "b").assign(2 * np.ones((2, 2)))
path = tf.train.Checkpoint(model=model, optimizer=optimizer).write(sys.argv[1])
other, other_optimizer = program("ba")
tf.train.Checkpoint(model=other, optimizer=other_optimizer).read(path).assert_consumed()
right = all(
    np.array_equal(getattr(model, n).kernel, getattr(other, n).kernel) for n in "ab"
)
print("weights right:", right)
saved = float(moment(model, optimizer, "a")[0, 0])
restored = float(moment(other, other_optimizer, "a")[0, 0])
print(f"first moment of layer a: saved {saved}, restored {restored} (layer b's was 2.0)")
assert right and (saved, restored) == (1.0, 2.0)
PYTHON
