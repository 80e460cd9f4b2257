"""Issues of PyTorch's own tracker, with the scenario of who wrote them.

In each, what `load_state_dict` does stands beside what happens here.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import checkpointable as cp


def train(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> torch.Tensor:
    optimizer.zero_grad()
    loss = model(x).square().sum()
    loss.backward()
    optimizer.step()
    return loss.detach()


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """First moments by the parameter's name."""
    return {
        name: optimizer.state[parameter]["exp_avg"].clone()
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
    }


class TwoLinear(nn.Module):
    """The model of #1489, its layers defined in either order; as there, and of equal shapes."""

    def __init__(self, order: str, sizes: tuple[int, int, int]) -> None:
        super().__init__()
        for name in order.split():
            shape = sizes[:2] if name == "p1" else sizes[1:]
            setattr(self, name, nn.Linear(*shape, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.p2(self.p1(x))


@pytest.mark.parametrize("sizes", [(2, 3, 4), (3, 3, 3)], ids=["as there", "equal shapes"])
@pytest.mark.parametrize("named", [False, True])
def test_1489_layers_defined_in_another_order(tmp_path, sizes, named):
    # https://github.com/pytorch/pytorch/issues/1489
    def build(order: str) -> tuple[TwoLinear, torch.optim.Optimizer]:
        model = TwoLinear(order, sizes)
        return model, torch.optim.Adam(model.named_parameters() if named else model.parameters())

    x = torch.randn(5, sizes[0])
    model, optimizer = build("p1 p2")
    train(model, optimizer, x)
    path = cp.Checkpoint(model=model, optimizer=optimizer).save(tmp_path / "ckpt")
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    expected = moments(model, optimizer)

    # torch: the moments of p1 go to p2, and those of p2 to p1. Silently.
    other, its = build("p2 p1")
    other.load_state_dict(saved[0])
    its.load_state_dict(saved[1])
    swapped = moments(other, its)
    assert torch.equal(swapped["p1.weight"], expected["p2.weight"])
    assert torch.equal(swapped["p2.weight"], expected["p1.weight"])
    if sizes[0] != sizes[2]:
        with pytest.raises(RuntimeError, match="size"):  # "training cannot proceed"
            train(other, its, x)

    # Here a slot belongs to its parameter.
    other, its = build("p2 p1")
    cp.Checkpoint(model=other, optimizer=its).restore(path).assert_consumed()
    assert moments(other, its).keys() == expected.keys()
    for name, moment in moments(other, its).items():
        assert torch.equal(moment, expected[name])
    for _ in range(3):
        assert torch.equal(train(model, optimizer, x), train(other, its, x))


def test_34660_new_layers_in_finetuning(tmp_path):
    # https://github.com/pytorch/pytorch/issues/34660: "Add 'strict' flag to ignore missing
    # parameters in Optimizer.load_state_dict": new layers are to get new moment estimates.
    x = torch.randn(5, 4)
    backbone = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
    optimizer = torch.optim.Adam(backbone.parameters(), lr=0.01)
    train(backbone, optimizer, x)
    path = cp.Checkpoint(model=backbone, optimizer=optimizer).save(tmp_path / "ckpt")

    def finetuned() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 2))
        return model, torch.optim.Adam(model.parameters(), lr=0.01)

    model, its = finetuned()
    with pytest.raises(ValueError, match="doesn't match the size"):
        its.load_state_dict(optimizer.state_dict())

    model, its = finetuned()
    status = cp.Checkpoint(model=model, optimizer=its).restore(path)
    expected = moments(backbone, optimizer)
    assert moments(model, its).keys() == expected.keys()
    for name, moment in moments(model, its).items():
        assert torch.equal(moment, expected[name])
    # Strictness is a question to the status: what is new has a name.
    with pytest.raises(AssertionError, match="model/3/weight"):
        status.assert_existing_objects_matched()
    status.allow_missing("model/3/**").assert_consumed()
    train(model, its, x)
    steps = {name: float(its.state[p]["step"]) for name, p in model.named_parameters()}
    assert steps["2.weight"] == 2.0
    assert steps["3.weight"] == 1.0  # new moment estimates for the new layer


def test_3852_a_model_loaded_in_part_and_its_optimizer(tmp_path):
    # https://github.com/pytorch/pytorch/issues/3852: model.load_state_dict(…, strict=False)
    # works, opt.load_state_dict(…, strict=False) does not exist.
    x = torch.randn(5, 4)
    model = nn.Sequential()
    model.add_module("body", nn.Linear(4, 3))
    model.add_module("old_head", nn.Linear(3, 3))
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, x)
    path = cp.Checkpoint(model=model, optimizer=optimizer).save(tmp_path / "ckpt")

    def changed() -> tuple[nn.Module, torch.optim.Optimizer]:
        other = nn.Sequential()
        other.add_module("body", nn.Linear(4, 3))
        other.add_module("new_head", nn.Linear(3, 3))
        return other, torch.optim.Adam(other.parameters())

    other, its = changed()
    other.load_state_dict(model.state_dict(), strict=False)
    with pytest.raises(TypeError, match="strict"):
        its.load_state_dict(optimizer.state_dict(), strict=False)
    # Without it the new head silently gets the moments of the old one.
    its.load_state_dict(optimizer.state_dict())
    assert "exp_avg" in its.state[other.new_head.weight]

    other, its = changed()
    status = cp.Checkpoint(model=other, optimizer=its).restore(path)
    status.allow_missing("model/new_head/**", "model/old_head/**").assert_consumed()
    assert torch.equal(other.body.weight, model.body.weight)
    assert moments(other, its).keys() == {"body.weight", "body.bias"}
    for name, moment in moments(other, its).items():
        assert torch.equal(moment, moments(model, optimizer)[name])
    train(other, its, x)
