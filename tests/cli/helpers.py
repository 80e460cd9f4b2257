"""Checkpoints for the command line to look at, and ways to call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner, Result

import checkpointable as cp
from checkpointable.bundle import DataType, ValueToWrite, datatype_of, write_bundle
from checkpointable.cli.app import app
from checkpointable.graph.encoding import encode_graph
from checkpointable.graph.object_graph import Attribute, Child, Node, ObjectGraph, SlotVariable
from checkpointable.graph.paths import GRAPH_KEY, VARIABLE_VALUE

# What shapes the output; every test starts without.
ENVIRONMENT = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TERM", "TTY_COMPATIBLE")


def call(*arguments: str | os.PathLike[str], **environment: str) -> Result:
    """Runs the program in this process, its standard output no terminal."""
    env: dict[str, str | None] = dict.fromkeys(ENVIRONMENT) | environment
    return CliRunner().invoke(app, [os.fspath(a) for a in arguments], env=env)


def output(*arguments: str | os.PathLike[str], **environment: str) -> str:
    """What a call that must succeed prints."""
    result = call(*arguments, **environment)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def document(*arguments: str | os.PathLike[str]) -> Any:
    """What a call with --json prints."""
    return json.loads(output(*arguments, "--json"))


def process(*arguments: str | os.PathLike[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the program in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k not in ENVIRONMENT}
    environment |= options.pop("environment", {})
    return subprocess.run(
        [sys.executable, "-m", "checkpointable.cli", *map(os.fspath, arguments)],
        env=environment,
        capture_output="stdout" not in options,
        text=True,
        check=False,
        **options,
    )


def string(data: bytes | str) -> np.ndarray[Any, Any]:
    array = np.empty((), object)
    array[()] = data
    return array


def write(prefix: Path, values: dict[str, Any], graph: ObjectGraph | None = None) -> Path:
    """Writes a checkpoint of these values, with a graph or name-based."""

    def value_to_write(key: str, value: Any) -> ValueToWrite:
        dtype = None
        if isinstance(value, tuple):
            value, dtype = value
        array = np.asarray(value)
        return ValueToWrite(key, dtype or datatype_of(array.dtype), array.shape, lambda: array)

    values_to_write = [value_to_write(key, value) for key, value in values.items()]
    if graph is not None:
        data = string(encode_graph(graph))
        values_to_write.append(ValueToWrite(GRAPH_KEY, DataType.DT_STRING, (), lambda: data))
    write_bundle(prefix, values_to_write, durability="flush")
    return prefix


def variable(key: str) -> Attribute:
    return Attribute(VARIABLE_VALUE, "", key)


def node(
    children: dict[str, int] | None = None, *attributes: Attribute, slots: tuple[Any, ...] = ()
) -> Node:
    edges = [Child(node_id, name) for name, node_id in (children or {}).items()]
    return Node(edges, list(attributes), [SlotVariable(*slot) for slot in slots])


class Momentum(cp.Optimizer):
    def __init__(self, *variables: cp.Variable) -> None:
        super().__init__()
        self.rate = cp.Variable(np.float32(0.1))
        for v in variables:
            self.add_slot(v, "momentum", np.zeros(v.shape, v.dtype))


class Position(cp.PythonState):
    def serialize(self) -> str:
        return json.dumps({"line": 12, "file": "träin.txt", "seen": [1, 2]})

    def deserialize(self, string_value: bytes) -> None:
        raise AssertionError("the command line restores nothing")


class Net(cp.Checkpointable):
    def __init__(self) -> None:
        self.kernel = cp.Variable(np.arange(6, dtype=np.float32).reshape(2, 3))
        self.layers = [cp.Variable(np.ones(3)), cp.Variable(np.arange(4))]
        self.first = self.layers[0]  # shared
        self.owner = self  # a cycle


def save_program(directory: Path) -> Path:
    """A model with shared objects and a cycle, its optimizer's slots, Python state."""
    net = Net()
    checkpoint = cp.Checkpoint(
        model=net, optimizer=Momentum(net.kernel, net.layers[0]), position=Position()
    )
    return Path(checkpoint.save(directory / "ckpt"))
