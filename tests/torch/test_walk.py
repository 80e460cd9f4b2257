"""Finding PyTorch's objects: fast, and only once PyTorch is there."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import torch
from torch import nn

import checkpointable as cp
from checkpointable.adapters import frameworks
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.registry import _by_type, adapter_of
from checkpointable.graph.restore_notes import RestoreNotes
from checkpointable.graph.walk import walk
from tests.speed.test_scale import calls


def test_a_walk_costs_the_same_for_each_parameter():
    def calls_of(size):
        net = nn.Sequential(*(nn.Linear(1, 1) for _ in range(size)))
        walk(net, adapter_of)  # adapters are found once a type
        result = None

        def run():
            nonlocal result
            result = walk(net, adapter_of)

        count = calls(run)
        assert sum(isinstance(obj, nn.Parameter) for obj in result.objects) == 2 * size
        return count

    # How long that takes is measured by `make bench`.
    few, many = calls_of(100), calls_of(1_000)
    assert many < 11 * few
    assert many < 60 * 2_000


def test_the_package_imports_no_torch_and_torch_is_there_when_it_is_asked_for():
    program = (
        "import sys, checkpointable as cp; assert 'torch' not in sys.modules;"
        "cp.Checkpoint(v=cp.Variable(1)); assert 'torch' not in sys.modules;"
        "cp.torch.RandomState(); assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = cp.no_such_thing


class Foreign:
    """An object of a framework that a third party has an adapter for."""

    def __init__(self) -> None:
        self.inner = cp.Variable(1)
        self.notes = RestoreNotes(self)


class ForeignAdapter(Adapter):
    def children(self, obj):
        return [("inner", obj.inner)]

    def values(self, obj):
        return {}

    def notes(self, obj):
        return obj.notes


ADAPTER = ForeignAdapter()


def find_foreign(cls):
    return ADAPTER if issubclass(cls, Foreign) else None


@pytest.fixture
def entry(monkeypatch):
    """Announces an adapter for the module that this is, as an installed package would."""

    def announce(value: str) -> None:
        root = Foreign.__module__.partition(".")[0]
        point = EntryPoint(root, f"{Foreign.__module__}:{value}", "checkpointable.adapters")
        monkeypatch.setattr(frameworks, "_entries", lambda: {root: [point]})

    def forget() -> None:
        frameworks._finders.cache_clear()
        _by_type.clear()

    forget()
    yield announce
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize("value", ["ADAPTER", "find_foreign"])
def test_an_adapter_of_a_third_party_is_found_by_its_entry_point(tmp_path, entry, value):
    entry(value)
    path = cp.Checkpoint(x=Foreign()).write(tmp_path / "ckpt")
    assert "x/inner/.ATTRIBUTES/VARIABLE_VALUE" in dict(cp.list_variables(path))


def test_an_entry_point_that_is_no_adapter_is_told(entry):
    entry("__name__")
    with pytest.raises(TypeError, match="it must be an Adapter, or a function"):
        adapter_of(Foreign())


def test_a_module_that_is_a_checkpointable_too(tmp_path):
    class Both(cp.Checkpointable, nn.Module):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.linear = nn.Linear(1, 1)
            self.step = cp.Variable(3)
            self.register_buffer("mean", torch.rand(2))
            self.add_module("added", nn.Linear(1, 1))

    one, other = Both(), Both()
    path = cp.Checkpoint(both=one).write(tmp_path / "ckpt")
    assert "both/linear/weight/.ATTRIBUTES/VARIABLE_VALUE" in dict(cp.list_variables(path))
    cp.Checkpoint(both=other).read(path).assert_consumed()
    assert torch.equal(one.linear.weight, other.linear.weight)
    assert torch.equal(one.added.weight, other.added.weight)
    assert torch.equal(one.mean, other.mean)
