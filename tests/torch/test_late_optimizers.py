"""Optimizers, and what they step, that come after the restore (S21, S22)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import checkpointable as cp
from tests.torch.late import equal, mlp, step, trained, write

pytestmark = pytest.mark.usefixtures("hooks_go")


def test_an_optimizer_made_after_the_restore(tmp_path):
    whole = mlp()
    optimizer = trained(whole, lr=0.3)
    path = write(tmp_path, model=whole, optimizer=optimizer)
    checkpoint = cp.Checkpoint(model=mlp())
    status = checkpoint.read(path)
    checkpoint.optimizer = torch.optim.Adam(checkpoint.model.parameters())
    status.assert_consumed()
    for _ in range(2):
        assert torch.equal(step(whole, optimizer), step(checkpoint.model, checkpoint.optimizer))
    assert equal(whole, checkpoint.model)


def test_a_model_made_after_its_optimizer_was_restored(tmp_path):
    # The parameters are the optimizer's before they are the checkpoint's.
    whole = mlp()
    path = write(tmp_path, model=whole, optimizer=trained(whole))
    net = mlp()
    checkpoint = cp.Checkpoint(optimizer=torch.optim.Adam(net.parameters()))
    status = checkpoint.read(path)
    assert not checkpoint.optimizer.state
    checkpoint.model = net
    status.assert_consumed()
    assert len(checkpoint.optimizer.state) == 6


@pytest.mark.parametrize("look", ["step", "save", "status"])
def test_add_param_group_is_found_before_the_first_step(tmp_path, look):
    whole = mlp(2)
    optimizer = torch.optim.Adam(
        [{"params": whole[0].parameters()}, {"params": whole[1].parameters(), "lr": 0.5}]
    )
    step(whole, optimizer)
    path = write(tmp_path, model=whole, optimizer=optimizer)
    net = mlp(2)
    checkpoint = cp.Checkpoint(model=net, optimizer=torch.optim.Adam(net[0].parameters()))
    status = checkpoint.read(path)
    assert len(checkpoint.optimizer.state) == 2
    checkpoint.optimizer.add_param_group({"params": net[1].parameters()})
    if look == "save":
        checkpoint.write(tmp_path / "again")
    elif look == "status":
        status.assert_consumed()
    assert torch.equal(step(net, checkpoint.optimizer), step(whole, optimizer))
    assert checkpoint.optimizer.param_groups[1]["lr"] == 0.5
    assert equal(net, whole)
    status.assert_consumed()


def test_a_layer_and_its_group_that_come_in_training(tmp_path):
    whole = mlp(2)
    path = write(tmp_path, model=whole, optimizer=trained(whole))
    net = mlp(1)
    optimizer = torch.optim.Adam(net.parameters())
    status = cp.Checkpoint(model=net, optimizer=optimizer).read(path)
    step(net, optimizer)
    net.append(nn.Linear(2, 2))
    assert torch.equal(net[1].weight, whole[1].weight)
    optimizer.param_groups[0]["params"].extend(net[1].parameters())
    step(net, optimizer)
    assert optimizer.state[net[1].weight]["step"] == 2  # one of the checkpoint, one here
    status.assert_consumed()


LAZY = {
    "linear": (nn.LazyLinear, (2,), (3, 4), "in_features"),
    "conv": (nn.LazyConv2d, (4, 2, 1, 0, 1, 2), (1, 6, 5, 5), "in_channels"),
    "transposed": (nn.LazyConvTranspose1d, (4, 2, 1, 0, 0, 2), (1, 6, 5), "in_channels"),
    "batch norm": (nn.LazyBatchNorm1d, (), (3, 4), "num_features"),
    "instance norm": (
        lambda: nn.LazyInstanceNorm1d(affine=True, track_running_stats=True),
        (),
        (2, 3, 4),
        "num_features",
    ),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_module_takes_its_sizes_too_and_an_optimizer_may_know_it(tmp_path, name, late):
    # S21, S22
    make, options, shape, size = LAZY[name]
    x = torch.randn(shape)
    whole, net = make(*options), make(*options)
    whole(x)
    optimizer = torch.optim.Adam(whole.parameters())
    whole(x).square().sum().backward()
    optimizer.step()
    path = write(tmp_path, model=whole, optimizer=optimizer)
    if late:
        checkpoint = cp.Checkpoint(model=net)
        status = checkpoint.read(path)
        again = checkpoint.optimizer = torch.optim.Adam(net.parameters())
        status.assert_consumed()
    else:
        again = torch.optim.Adam(net.parameters())
        cp.Checkpoint(model=net, optimizer=again).read(path).assert_consumed()
    assert getattr(net, size) == getattr(whole, size) > 0
    for model, opt in ((whole, optimizer), (net, again)):
        model.zero_grad()
        model(x).square().sum().backward()
        opt.step()
    assert all(map(torch.equal, net.state_dict().values(), whole.state_dict().values()))
    assert type(net) is type(whole)
