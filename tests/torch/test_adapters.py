"""The adapters of PyTorch objects: a child found by name is the child that is listed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import checkpointable as cp
from tests.adapters import assert_all_agree
from tests.torch.cases import Run, cases
from tests.torch.models import MODELS

ONE_EACH = list({case.optimizer: case for case in cases()}.values())


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.optimizer)
def test_optimizers(case):
    run = Run(case, 0)
    assert_all_agree(run.checkpoint)  # before there are slots, and with them
    run.train(2)
    assert {"OptimizerAdapter", "LBFGSAdapter"} & assert_all_agree(run.checkpoint)


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    assert "ModuleAdapter" in assert_all_agree(cp.Checkpoint(model=MODELS[name]()))


class Mixed(nn.Module, cp.Checkpointable):
    """Of both libraries."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.ours = cp.Variable(1)
        self.tensors = [torch.ones(2), torch.ones(3)]


class WithState(nn.Module):
    """Buffers that are saved and one that is not, extra state, plain containers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.ones(2))
        self.register_buffer("left", torch.ones(2), persistent=False)
        self.register_buffer("none", None)
        self.register_parameter("nothing", None)
        self.by_name = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ReLU()})
        self.several = nn.ParameterList([nn.Parameter(torch.ones(1))])
        self.batch = nn.BatchNorm1d(2)

    def get_extra_state(self):
        return {"n": 1}

    def set_extra_state(self, state):
        pass


def test_modules_of_every_kind():
    model = WithState()
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    inner = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    visited = assert_all_agree(
        cp.Checkpoint(
            model=model,
            tied=tied,
            mixed=Mixed(),
            compiled=torch.compile(nn.Linear(2, 2)),
            averaged=torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2)),
            lazy=nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()),
            meta=nn.Linear(2, 2, device="meta"),
            scaler=torch.amp.GradScaler("cpu"),
            optimizer=inner,
            scheduler=torch.optim.lr_scheduler.StepLR(inner, 1),
            rng=cp.torch.RandomState(),
            tensor=torch.ones(2, dtype=torch.bfloat16),
            groups=torch.optim.Adam(
                [{"params": tied.parameters()}, {"params": [torch.ones(1)], "lr": 0.1}]
            ),
        )
    )
    assert len(visited) >= 8
