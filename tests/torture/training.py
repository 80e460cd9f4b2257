"""A program that trains and saves; run as a process, so that it can be killed.

    python training.py DIRECTORY STEPS SEED DURABILITY HOW

HOW is "blocking", or "asynchronous": then it trains on while a save goes on. It goes on from the
newest whole checkpoint, prints a line once it has, one after each save, and at the end a
digest of all its weights. The same steps give the same bits, however often it was killed.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np

import checkpointable as cp

EVERY = 2  # steps from one save to the next


class Momentum(cp.Optimizer):
    """Gradient descent with one slot a variable."""

    def __init__(self):
        self.rate = cp.Variable(np.float64(0.05))

    def apply(self, variable, gradient):
        velocity = self.add_slot(variable, "velocity", lambda: np.zeros(variable.shape))
        velocity.assign(0.9 * velocity.numpy() + gradient)
        variable.assign_add(-float(self.rate) * velocity.numpy())


def build(seed):
    random = np.random.default_rng(seed)
    return cp.Checkpoint(
        step=cp.Variable(np.int64(0)),
        layers=[cp.Variable(random.normal(size=(16, 16))) for _ in range(3)],
        optimizer=Momentum(),
        random=cp.NumpyRandomState(random),
        log=cp.JSONState({"losses": []}),
    )


def train_step(program):
    inputs = program.random.generator.normal(size=(8, 16))
    first, second, third = (layer.numpy() for layer in program.layers)
    hidden = np.tanh(inputs @ first)
    more = np.tanh(hidden @ second)
    error = more @ third - np.sin(inputs)
    back = error @ third.T * (1 - more**2)
    further = back @ second.T * (1 - hidden**2)
    for layer, gradient in zip(
        program.layers, (inputs.T @ further, hidden.T @ back, more.T @ error), strict=True
    ):
        program.optimizer.apply(layer, gradient / len(inputs))
    program.log["losses"] = [*program.log["losses"][-5:], float((error**2).mean())]
    program.step.assign_add(1)


def digest(program):
    found = hashlib.sha256()
    for layer in program.layers:
        found.update(layer.numpy().tobytes())
        found.update(program.optimizer.get_slot(layer, "velocity").numpy().tobytes())
    found.update(repr((int(program.step), program.log["losses"])).encode())
    found.update(repr(program.random.generator.bit_generator.state).encode())
    return found.hexdigest()


def main(directory, steps, seed, durability, how):
    program = build(int(seed))
    manager = cp.CheckpointManager(program, directory, 2, best=("loss", "min", 1))
    manager.restore_latest_valid().expect_partial()
    print("from", int(program.step), flush=True)
    while int(program.step) < int(steps):
        train_step(program)
        if int(program.step) % EVERY == 0:
            save = manager.save if how == "blocking" else manager.save_async
            save(metrics={"loss": program.log["losses"][-1]}, durability=durability)
            print("saved", int(program.step), flush=True)
    print("digest", digest(program), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
