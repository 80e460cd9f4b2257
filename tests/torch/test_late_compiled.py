"""Modules that are compiled while something of them waits (S21)."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import checkpointable as cp
from tests.torch.conftest import NO_HOOKS, hook_counts
from tests.torch.late import mlp, write

pytestmark = pytest.mark.usefixtures("hooks_go")


def test_a_module_that_is_compiled_while_something_waits(tmp_path):
    class Net(nn.Module):
        def __init__(self, *, head: bool) -> None:
            super().__init__()
            self.body = mlp(2)
            if head:
                self.head = nn.Linear(2, 2)

        def forward(self, x):
            return self.body(x)

    # The old head waits for as long as the program runs: no hook of forwards is needed for it,
    # of which torch.compile would warn.
    path = write(tmp_path, model=Net(head=True))
    net = Net(head=False)
    cp.Checkpoint(model=net).read(path).expect_partial()
    assert hook_counts() == {**dict.fromkeys(NO_HOOKS, 1), "forward": 0}
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(net, backend=backend, fullgraph=True)
    assert torch.equal(compiled(torch.ones(1, 2)), net(torch.ones(1, 2)))
    assert len(graphs) == 1


@pytest.mark.filterwarnings("ignore:Using `torch.compile:UserWarning")
def test_a_container_that_waits_is_compiled(tmp_path):
    whole, net = mlp(3), mlp(2)
    cp.Checkpoint(model=net).read(write(tmp_path, model=whole)).expect_partial()
    assert hook_counts()["forward"] == 1
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    assert torch.equal(compiled(torch.ones(1, 2)), net(torch.ones(1, 2)))


def test_what_a_compiled_module_has_within_is_found_before_it_runs(tmp_path):
    # S21: `insert` fires no hook, and of what is called within a compiled module nothing is heard.
    class Net(nn.Module):
        def __init__(self, count: int) -> None:
            super().__init__()
            self.layers = mlp(count)

        def forward(self, x):
            return self.layers(x)

    whole, net = Net(2), Net(1)
    cp.Checkpoint(model=net).read(write(tmp_path, model=whole)).expect_partial()
    net.layers.insert(1, nn.Linear(2, 2))
    compiled = torch.compile(net, backend="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = compiled(torch.ones(1, 2))
    assert torch.equal(found, whole(torch.ones(1, 2)))
    assert hook_counts() == NO_HOOKS
