"""The two sides of a comparison: the same program of our objects and of TensorFlow's."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any

import tensorflow as tf
from tensorflow.python.checkpoint.checkpoint import TrackableSaver
from tensorflow.python.checkpoint.graph_view import ObjectGraphView
from tensorflow.python.trackable.autotrackable import AutoTrackable
from tensorflow.python.trackable.data_structures import NoDependency

import checkpointable as cp
from tests.differential.programs import (
    NAMED_TUPLES,
    AddSlot,
    Append,
    Assign,
    Delete,
    Keyed,
    Leaf,
    Program,
    Ref,
    Same,
    Sequential,
    SetItem,
    Untracked,
)


class _Bytes:
    """What both libraries' Python states have in common here: contents that they show."""

    def __init__(self, contents: bytes) -> None:
        self.contents = contents

    def serialize(self) -> bytes:
        return self.contents

    def deserialize(self, string_value: bytes) -> None:
        self.contents = string_value


class State(_Bytes, cp.PythonState): ...


class TensorFlowState(_Bytes, tf.train.experimental.PythonState): ...


class TensorFlowOptimizer(AutoTrackable):
    """Keeps slots the way that TensorFlow's optimizers do, by identity."""

    def __init__(self) -> None:
        self.__dict__["slots"] = {}

    def get_slot_names(self) -> list[str]:
        return sorted({name for _, name in self.__dict__["slots"]})

    def get_slot(self, variable: Any, name: str) -> Any:
        return self.__dict__["slots"].get((id(variable), name))

    def add_slot(self, variable: Any, name: str, contents: Any) -> None:
        # As TensorFlow's own do: a slot that is there, restored maybe, stays as it is.
        if self.get_slot(variable, name) is None:
            self.__dict__["slots"][id(variable), name] = tf.Variable(contents)

    def _create_or_restore_slot_variable(
        self, slot_variable_position: Any, slot_name: str, variable: Any
    ) -> Any:
        if self.get_slot(variable, slot_name) is None:
            (contents,) = slot_variable_position.value_tensors().values()
            self.add_slot(variable, slot_name, contents)
        return self.get_slot(variable, slot_name)


class _Side:
    """How a side makes its objects."""

    no_dependency: Any

    def make(self, kind: str, contents: Any) -> Any:
        raise NotImplementedError

    def add_slot(self, optimizer: Any, variable: Any, name: str, contents: Any) -> None:
        raise NotImplementedError

    def read(self, obj: Any) -> Any:
        """The contents of a variable or state."""
        raise NotImplementedError

    def save(self, root: Any, prefix: str) -> str:
        raise NotImplementedError

    def restore(self, root: Any, path: str) -> Any:
        raise NotImplementedError


class Ours(_Side):
    no_dependency = cp.NoDependency

    def make(self, kind: str, contents: Any) -> Any:
        if kind == "variable":
            return cp.Variable(contents)
        if kind == "state":
            return State(contents)
        return cp.Optimizer() if kind == "optimizer" else cp.Checkpointable()

    def add_slot(self, optimizer: Any, variable: Any, name: str, contents: Any) -> None:
        optimizer.add_slot(variable, name, contents)

    def read(self, obj: Any) -> Any:
        return obj.contents if isinstance(obj, State) else obj.numpy()

    def save(self, root: Any, prefix: str) -> str:
        return cp.CheckpointableSaver(root).save(prefix, durability="flush")

    def restore(self, root: Any, path: str) -> Any:
        return cp.CheckpointableSaver(root).restore(path)


class TensorFlow(_Side):
    no_dependency = NoDependency

    def make(self, kind: str, contents: Any) -> Any:
        if kind == "variable":
            return tf.Variable(contents)
        if kind == "state":
            return TensorFlowState(contents)
        return TensorFlowOptimizer() if kind == "optimizer" else AutoTrackable()

    def add_slot(self, optimizer: Any, variable: Any, name: str, contents: Any) -> None:
        optimizer.add_slot(variable, name, contents)

    def read(self, obj: Any) -> Any:
        return obj.contents if isinstance(obj, TensorFlowState) else obj.numpy()

    def save(self, root: Any, prefix: str) -> str:
        path = TrackableSaver(ObjectGraphView(root)).save(prefix)
        return os.fsdecode(path.numpy())

    def restore(self, root: Any, path: str) -> Any:
        return TrackableSaver(ObjectGraphView(root)).restore(path)


class Modules(TensorFlow):
    """TensorFlow with `tf.Module` for the modules."""

    def make(self, kind: str, contents: Any) -> Any:
        return tf.Module() if kind == "module" else super().make(kind, contents)


class Built:
    """A program's objects on one side, as far as its steps have been done."""

    def __init__(self, program: Program, side: _Side, contents: dict[int, Any]) -> None:
        self.program = program
        self.side = side
        self._contents = contents
        self.objects = [
            side.make(kind, contents.get(index)) for index, kind in enumerate(program.kinds)
        ]

    @property
    def root(self) -> Any:
        return self.objects[0]

    def do(self, step: Any) -> None:
        if isinstance(step, AddSlot):
            optimizer, variable = self.objects[step.optimizer], self.objects[step.variable]
            self.side.add_slot(optimizer, variable, step.name, self._contents[step.contents])
            return
        owner = self.objects[step.owner]
        if isinstance(step, Delete):
            delattr(owner, step.name)
            return
        value = self._realize(step.value)
        if isinstance(step, Assign):
            setattr(owner, step.name, value)
        elif isinstance(step, Append):
            getattr(owner, step.name).append(value)
        elif isinstance(step, SetItem):
            getattr(owner, step.name)[step.key] = value

    def _realize(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.objects[value.index]
        if isinstance(value, Leaf):
            return value.value
        if isinstance(value, Untracked):
            return self.side.no_dependency(self._realize(value.value))
        if isinstance(value, Same):
            return getattr(self.objects[value.owner], value.name)
        if isinstance(value, Keyed):
            items = {key: self._realize(item) for key, item in value.items}
            return OrderedDict(items) if value.ordered else items
        assert isinstance(value, Sequential)
        sequence = [self._realize(item) for item in value.items]
        if value.kind == "named":
            return NAMED_TUPLES[len(sequence)](*sequence)
        return sequence if value.kind == "list" else tuple(sequence)

    def slot(self, step: AddSlot) -> Any:
        return self.objects[step.optimizer].get_slot(self.objects[step.variable], step.name)

    def contents(self) -> dict[int, Any]:
        """What is in the objects now; a slot that does not exist is left out."""
        found = {
            index: self.side.read(self.objects[index])
            for index, kind in enumerate(self.program.kinds)
            if kind in {"variable", "state"}
        }
        for step in self.program.slots:
            slot = self.slot(step)
            if slot is not None:
                found[step.contents] = self.side.read(slot)
        return found


def build(program: Program, side: _Side, contents: dict[int, Any] | None = None) -> Built:
    """Does every step of a program."""
    built = Built(program, side, program.contents if contents is None else contents)
    for step in program.steps:
        built.do(step)
    return built
