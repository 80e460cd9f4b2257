"""README.md, "What others lose": every cell of the table, measured (but for Orbax)."""

from __future__ import annotations

import re
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np
import pytest
import safetensors.torch as safetensors
import tensorflow as tf
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint import state_dict as dcp_states

import checkpointable as cp

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
ROWS = {
    cells[0].strip(" *`"): [cell.strip() for cell in cells[1:]]
    for cells in (line.strip("|").split("|") for line in README.splitlines() if line[:1] == "|")
    if len(cells) == 5
}
ORDER, FLIP, FULL, DTYPE = range(4)
SWAPPED, CORRECT = "swapped, no error", "correct"
UNNOTICED, ROUNDED = "wrong values, no error", "rounded, no error"
KEPT, LOST = "old checkpoint kept", "both checkpoints lost"

ERRORS = (Exception, CheckpointException)  # that of DCP is a BaseException

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the other libraries


class Library(NamedTuple):
    """Saves two arrays, "a" and "b", and restores them into fresh memory."""

    save: Callable[[Path, dict[str, Any]], None]
    restore: Callable[[Path], dict[str, Any]]


def zeros() -> dict[str, torch.Tensor]:
    return {name: torch.zeros(300, 300) for name in "ab"}


def tensors(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(array) for name, array in arrays.items()}


def dcp_restore(path: Path) -> dict[str, Any]:
    dcp.load(state := zeros(), checkpoint_id=path)
    return state


def keras_model(arrays: dict[str, Any] | None = None) -> Any:
    layers = [keras.layers.Dense(300, use_bias=False, name=name) for name in "ab"]
    model = keras.Sequential([keras.Input((300,)), *layers])
    if arrays:
        model.set_weights(list(arrays.values()))
    return model


def keras_restore(path: Path) -> dict[str, Any]:
    model = keras_model()
    model.load_weights(f"{path}.weights.h5")
    return dict(zip("ab", model.get_weights(), strict=True))


def objects(arrays: dict[str, Any], variable: Any) -> dict[str, Any]:
    return {name: variable(np.asarray(array)) for name, array in arrays.items()}


def object_restore(checkpoint: Any, variable: Any, path: Path) -> dict[str, Any]:
    fresh = objects(zeros(), variable)
    checkpoint(**fresh).read(str(path)).assert_consumed()
    return {name: v.numpy() for name, v in fresh.items()}


LIBRARIES = {
    "torch.save": Library(lambda p, x: torch.save(tensors(x), p), torch.load),
    "safetensors": Library(
        lambda p, x: safetensors.save_file(tensors(x), p), safetensors.load_file
    ),
    "DCP": Library(lambda p, x: dcp.save(tensors(x), checkpoint_id=p), dcp_restore),
    "Keras .weights.h5": Library(
        lambda p, x: keras_model(x).save_weights(f"{p}.weights.h5"), keras_restore
    ),
    "TensorFlow, Keras 3 objects": Library(
        lambda p, x: tf.train.Checkpoint(**objects(x, tf.Variable)).write(str(p)),
        lambda p: object_restore(tf.train.Checkpoint, tf.Variable, p),
    ),
    "checkpointable": Library(
        lambda p, x: cp.Checkpoint(**objects(x, cp.Variable)).write(p),
        lambda p: object_restore(cp.Checkpoint, cp.Variable, p),
    ),
}
RANDOM = {
    name: np.random.default_rng(seed).normal(size=(300, 300)).astype("float32")
    for seed, name in enumerate("ab")
}


def row(name: str) -> list[str]:
    return ROWS[name.replace("Keras .weights.h5", "Keras `.weights.h5")]


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return all(np.array_equal(np.asarray(left[n]), np.asarray(right[n])) for n in "ab")


def test_the_table_has_a_row_for_each_library():
    assert len(ROWS) == len(LIBRARIES) + 3  # its head, the line below it, Orbax
    assert all(row(name) for name in LIBRARIES)


@pytest.mark.parametrize("name", LIBRARIES)
def test_one_flipped_bit(tmp_path, name):
    library, path = LIBRARIES[name], tmp_path / "x"
    library.save(path, RANDOM)
    assert same(library.restore(path), RANDOM)
    largest = max((p for p in tmp_path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    contents = bytearray(largest.read_bytes())
    contents[len(contents) // 3] ^= 16
    largest.unlink()  # a mapped file would change under its readers
    largest.write_bytes(contents)
    if row(name)[FLIP] == UNNOTICED:
        assert not same(library.restore(path), RANDOM)
    else:
        assert row(name)[FLIP].startswith("error")
        with pytest.raises((cp.CheckpointCorruptError, tf.errors.DataLossError)):
            library.restore(path)


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_save_that_finds_no_room(tmp_path, name):
    library, path = LIBRARIES[name], tmp_path / "x"
    library.save(path, RANDOM)
    with limited_files(500_000), pytest.raises(ERRORS):
        library.save(path, {n: array + 1 for n, array in RANDOM.items()})
    if row(name)[FULL] == KEPT:
        assert same(library.restore(path), RANDOM)
    else:
        assert row(name)[FULL] == LOST
        with pytest.raises(ERRORS):
            library.restore(path)


class Layers(torch.nn.Module):
    def __init__(self, order: str) -> None:
        super().__init__()
        for name in order:
            setattr(self, name, torch.nn.Linear(3, 3, bias=False))


def torch_program(order: str) -> tuple[Any, torch.optim.Adam]:
    model = Layers(order)
    optimizer = torch.optim.Adam(model.parameters())
    for number, name in enumerate("ab"):
        parameter = getattr(model, name).weight
        moments = {moment: torch.full((3, 3), number + 1.0) for moment in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": torch.tensor(5.0), **moments}
    return model, optimizer


def torch_moment(path: Path, name: str) -> float:
    """Returns the first moment of layer a, 1.0 when saved, in a program that declares b first."""
    model, optimizer = torch_program("ab")
    other, other_optimizer = torch_program("ba")
    other_optimizer.state.clear()
    if name == "torch.save":
        torch.save(optimizer.state_dict(), path)
        other_optimizer.load_state_dict(torch.load(path))
    elif name == "DCP":
        values, states = dcp_states.get_state_dict(model, optimizer)
        dcp.save({"model": values, "optimizer": states}, checkpoint_id=path)
        values, states = dcp_states.get_state_dict(other, other_optimizer)
        dcp.load(loaded := {"model": values, "optimizer": states}, checkpoint_id=path)
        dcp_states.set_state_dict(
            other,
            other_optimizer,
            model_state_dict=loaded["model"],
            optim_state_dict=loaded["optimizer"],
        )
    else:
        cp.Checkpoint(model=model, optimizer=optimizer).write(path)
        cp.Checkpoint(model=other, optimizer=other_optimizer).read(path).assert_consumed()
    return float(other_optimizer.state[other.a.weight]["exp_avg"][0, 0])


class KerasLayers(keras.Model):
    def __init__(self, order: str) -> None:
        super().__init__()
        for name in order:
            setattr(self, name, keras.layers.Dense(2, use_bias=False))

    def call(self, x):
        return self.b(self.a(x))


def keras_program(order: str) -> tuple[Any, Callable[[str], Any]]:
    model = KerasLayers(order)
    model.compile(optimizer="adam", loss="mse")
    model(np.ones((1, 2), "float32"))
    model.optimizer.build(model.trainable_variables)

    def moment(layer: str) -> Any:
        kernel = getattr(model, layer).kernel
        place = [v is kernel for v in model.trainable_variables].index(True)
        return model.optimizer._momentums[place]

    return model, moment


def keras_moment(path: Path, name: str) -> float:
    model, moment = keras_program("ab")
    for number, layer in enumerate("ab"):
        moment(layer).assign(np.full((2, 2), number + 1.0))
    other, other_moment = keras_program("ba")
    if name.startswith("Keras"):
        model.save_weights(f"{path}.weights.h5")
        assert h5py.is_hdf5(f"{path}.weights.h5")
        other.load_weights(f"{path}.weights.h5")
    else:
        written = tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(path))
        checkpoint = tf.train.Checkpoint(model=other, optimizer=other.optimizer)
        checkpoint.read(written).assert_consumed()
    return float(other_moment("a")[0, 0])


@pytest.mark.parametrize("name", [name for name in LIBRARIES if name != "safetensors"])
def test_layers_declared_in_the_other_order(tmp_path, name):
    measure = keras_moment if "Keras" in name else torch_moment
    expected = {SWAPPED: 2.0, CORRECT: 1.0}[row(name)[ORDER]]
    assert measure(tmp_path / "x", name) == expected


def test_safetensors_stores_tensors_only():
    assert row("safetensors")[ORDER] == "not stored: tensors only"
    _, optimizer = torch_program("ab")
    with pytest.raises(ValueError, match=r"expected torch.Tensor"):
        safetensors.save(optimizer.state_dict())


def half_precision(path: Path, name: str) -> float:
    """Returns 1.0001 as it comes back in float16."""
    if "Keras" in name:
        models = [
            keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, dtype=dtype)])
            for dtype in ("float32", "float16")
        ]
        models[0].set_weights([np.array([[1.0001]]), np.array([0.0])])
        if name.startswith("Keras"):
            models[0].save_weights(f"{path}.weights.h5")
            models[1].load_weights(f"{path}.weights.h5")
        else:
            written = tf.train.Checkpoint(model=models[0]).write(str(path))
            tf.train.Checkpoint(model=models[1]).read(written)
        return float(models[1].get_weights()[0][0, 0])
    saved = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(saved.weight, 1.0001)
    other = torch.nn.Linear(1, 1).to(torch.float16)
    if name == "torch.save":
        torch.save(saved.state_dict(), path)
        other.load_state_dict(torch.load(path))
    elif name == "safetensors":
        safetensors.save_model(saved, str(path))
        safetensors.load_model(other, path)
    elif name == "DCP":
        dcp.save(saved.state_dict(), checkpoint_id=path)
        dcp.load(other.state_dict(), checkpoint_id=path)
    else:
        cp.Checkpoint(model=saved).write(path)
        cp.Checkpoint(model=other).read(path)
    return float(other.weight.item())


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_checkpoint_of_another_precision(tmp_path, name):
    if row(name)[DTYPE] == ROUNDED:
        assert half_precision(tmp_path / "x", name) == 1.0
    else:
        assert re.match("error", row(name)[DTYPE])
        with pytest.raises((cp.CheckpointMismatchError, tf.errors.InvalidArgumentError)):
            half_precision(tmp_path / "x", name)
