"""Trains, is killed in the middle, resumes, and ends as if it had never been interrupted.

    python examples/resume.py

A child process trains a small classifier on generated data, saves every few steps, and kills
itself with SIGKILL. The same program starts again and resumes from the latest checkpoint. At the
end every saved value, including Adam's slots, is compared bit for bit with that of a run that was
never interrupted. It needs NumPy only.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

import checkpointable as cp

Array = npt.NDArray[Any]

CLASSES, POINTS, HIDDEN, BATCH = 3, 1500, 48, 50
STEPS, SAVE_EVERY, DIE_AT = 900, 100, 570

console = Console()


# --- the program: a model, an optimizer, and one line each to save and to restore -----------


class Classifier(cp.Checkpointable):
    """Two dense layers. Objects that you assign to an attribute are saved under its name."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.kernels = [
            cp.Variable(rng.normal(0, 0.5, (2, HIDDEN)).astype("float32")),
            cp.Variable(rng.normal(0, 0.2, (HIDDEN, CLASSES)).astype("float32")),
        ]
        self.biases = [
            cp.Variable(np.zeros(HIDDEN, "float32")),
            cp.Variable(np.zeros(CLASSES, "float32")),
        ]

    def loss_and_gradients(self, x: Array, y: Array) -> tuple[float, list[tuple[Any, Array]]]:
        first, second = (kernel.numpy() for kernel in self.kernels)
        hidden = np.tanh(x @ first + self.biases[0].numpy())
        logits = hidden @ second + self.biases[1].numpy()
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        loss = -float(np.log(p[np.arange(len(y)), y]).mean())
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        back = (p @ second.T) * (1 - hidden**2)
        gradients = [x.T @ back, hidden.T @ p, back.sum(axis=0), p.sum(axis=0)]
        return loss, list(zip([*self.kernels, *self.biases], gradients, strict=True))

    def accuracy(self, x: Array, y: Array) -> float:
        hidden = np.tanh(x @ self.kernels[0].numpy() + self.biases[0].numpy())
        logits = hidden @ self.kernels[1].numpy() + self.biases[1].numpy()
        return float((logits.argmax(axis=1) == y).mean())


class Adam(cp.Optimizer):
    """Adam. Its moments are slots, which belong to a variable, not to a position in a list."""

    def __init__(self, rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__()
        self.rate, self.beta1, self.beta2 = rate, beta1, beta2
        self.beta1_power = cp.Variable(np.float32(1))
        self.beta2_power = cp.Variable(np.float32(1))

    def apply(self, gradients: list[tuple[Any, Array]]) -> None:
        self.beta1_power.assign(self.beta1_power.numpy() * np.float32(self.beta1))
        self.beta2_power.assign(self.beta2_power.numpy() * np.float32(self.beta2))
        rate = self.rate * np.sqrt(1 - self.beta2_power.numpy()) / (1 - self.beta1_power.numpy())
        for variable, gradient in gradients:
            zeros = np.zeros(variable.shape, variable.dtype)
            m = self.add_slot(variable, "m", zeros)  # returns the existing or restored slot, if any
            v = self.add_slot(variable, "v", zeros)
            m.assign_add((1 - self.beta1) * (gradient - m.numpy()))
            v.assign_add((1 - self.beta2) * (gradient**2 - v.numpy()))
            variable.assign_add(-rate * m.numpy() / (np.sqrt(v.numpy()) + 1e-8))


def spirals(rng: np.random.Generator) -> tuple[Array, Array]:
    """Returns POINTS points on CLASSES arms of a spiral, shape (POINTS, 2), and their classes."""
    y = np.arange(POINTS) % CLASSES
    radius = rng.uniform(0.05, 1, POINTS)
    angle = 4 * radius + y * (2 * np.pi / CLASSES) + rng.normal(0, 0.15, POINTS)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return x.astype("float32"), y


def train(directory: Path, die_at: int | None) -> None:
    x, y = spirals(np.random.default_rng(1))
    model, adam = Classifier(np.random.default_rng(2)), Adam()
    step = cp.Variable(np.int64(0))

    checkpoint = cp.Checkpoint(model=model, optimizer=adam, step=step)
    latest = cp.latest_checkpoint(directory)
    checkpoint.restore(latest).initialize_or_restore()  # on the first start and every later one
    start = int(step.numpy())
    console.print(f"  {'resume from ' + Path(latest).name if latest else 'start'} at step {start}")

    batches = POINTS // BATCH
    while (now := int(step.numpy())) < STEPS:
        # The number of a pass over the data determines its order.
        order = np.random.default_rng([3, now // batches]).permutation(POINTS)
        batch = order[now % batches * BATCH :][:BATCH]
        loss, gradients = model.loss_and_gradients(x[batch], y[batch])
        adam.apply(gradients)
        step.assign_add(1)
        if (now + 1) % SAVE_EVERY == 0:
            checkpoint.save(directory / "ckpt")
        if now + 1 == die_at:
            console.print(f"  step {die_at}, loss {loss:.4f}: kill -KILL {os.getpid()}")
            os.kill(os.getpid(), signal.SIGKILL)
    console.print(f"  step {STEPS}, loss {loss:.4f}, accuracy {model.accuracy(x, y):.1%}")


# --- the demonstration: run it, kill it, run it again, compare ------------------------------


def child(directory: Path, die_at: int | None = None) -> int:
    directory.mkdir(exist_ok=True)
    options = ["--train", str(directory), *(["--die-at", str(die_at)] if die_at else [])]
    return subprocess.run([sys.executable, __file__, *options], check=False).returncode


def equal_bit_for_bit(a: Path, b: Path) -> bool:
    first, second = cp.load_checkpoint(a), cp.load_checkpoint(b)
    table = Table("value", "shape", "equal")
    keys = [key for key in first.keys() if key != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    same = sorted(first.keys()) == sorted(second.keys())
    for key in keys:
        left, right = np.asarray(first.get_tensor(key)), np.asarray(second.get_tensor(key))
        equal = left.dtype == right.dtype and left.tobytes() == right.tobytes()
        same = same and equal
        name = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
        table.add_row(name, str(left.shape), "[green]yes" if equal else "[red]NO")
    console.print(table)
    return same


def demonstrate(directory: Path) -> int:
    killed, undisturbed = directory / "killed", directory / "undisturbed"

    console.rule(f"1. train {STEPS} steps, save every {SAVE_EVERY}, be killed at {DIE_AT}")
    code = child(killed, DIE_AT)
    if code != -signal.SIGKILL:
        console.print(f"[red]the child should have been killed by SIGKILL, but ended with {code}")
        return 1
    console.rule("2. start the same program again")
    if child(killed) != 0:
        return 1
    console.rule("3. the same, never interrupted")
    if child(undisturbed) != 0:
        return 1
    console.rule("4. compare every saved value")
    if not equal_bit_for_bit(killed, undisturbed):
        console.print("[red]The two runs differ.")
        return 1
    console.print("[green]Equal, bit for bit.")

    latest = cp.latest_checkpoint(killed)
    assert latest is not None
    console.rule(f"5. checkpointable show {Path(latest).name}")
    command = [sys.executable, "-m", "checkpointable.cli", "show", latest]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--train",
        type=Path,
        metavar="DIRECTORY",
        help="train in this directory (used for the child process)",
    )
    parser.add_argument("--die-at", type=int, metavar="STEP")
    options = parser.parse_args()
    if options.train:
        train(options.train, options.die_at)
        return 0
    with tempfile.TemporaryDirectory(prefix="checkpointable-demo-") as directory:
        return demonstrate(Path(directory))


if __name__ == "__main__":
    sys.exit(main())
