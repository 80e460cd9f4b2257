"""Optimizers: slots by parameter, hyperparameters by group, whatever the order."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import checkpointable as cp


def mlp(count: int = 2) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(2, 2) for _ in range(count)))


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 1) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = net(torch.ones(3, 2)).square().sum()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


def write(tmp_path, **objects) -> str:
    return cp.Checkpoint(**objects).write(tmp_path / "ckpt")


def read(path: str, **objects) -> cp.CheckpointLoadStatus:
    return cp.Checkpoint(**objects).read(path)


def same_slots(one, first, other, second) -> bool:
    """Whether two optimizers have the same state for the parameters of equal name."""
    names = dict(other.named_parameters())
    return all(
        {key: value.tolist() for key, value in first.state[parameter].items()}
        == {key: value.tolist() for key, value in second.state[names[name]].items()}
        for name, parameter in one.named_parameters()
        if parameter in first.state
    )


def test_keys_and_hyperparameters(tmp_path):
    # S11
    net = mlp(1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.3, betas=(0.8, 0.9))
    train(net, optimizer)
    path = write(tmp_path, net=net, optimizer=optimizer)
    slots = [key for key, _ in cp.list_variables(path) if "SLOT" in key]
    assert slots == [
        f"net/0/{name}/.OPTIMIZER_SLOT/optimizer/{slot}/.ATTRIBUTES/VARIABLE_VALUE"
        for name in ("bias", "weight")
        for slot in ("exp_avg", "exp_avg_sq", "step")
    ]
    with cp.load_checkpoint(path) as reader:
        stored = json.loads(reader.get_tensor("optimizer/param_groups/0/.ATTRIBUTES/py_state"))
    assert stored["lr"] == 0.3
    assert stored["betas"] == {"!tuple": [0.8, 0.9]}
    assert "params" not in stored


def test_slots_follow_their_parameters_in_any_order_and_grouping(tmp_path):
    net = mlp()
    optimizer = torch.optim.Adam(net.parameters())
    train(net, optimizer, 2)
    path = write(tmp_path, net=net, optimizer=optimizer)
    orders = [
        lambda n: list(n.parameters())[::-1],
        lambda n: [{"params": n[1].parameters()}, {"params": n[0].parameters()}],
        lambda n: n.named_parameters(),
    ]
    for order in orders:
        other = mlp()
        again = torch.optim.Adam(order(other))
        read(path, net=other, optimizer=again)
        assert same_slots(net, optimizer, other, again)
        again.state_dict()


def test_slots_are_filled_in_place_where_they_exist(tmp_path):
    net, other = mlp(), mlp()
    optimizer, again = (torch.optim.Adam(n.parameters()) for n in (net, other))
    train(net, optimizer, 2)
    train(other, again)
    slots = {key: id(value) for key, value in again.state[other[0].weight].items()}
    read(write(tmp_path, net=net, optimizer=optimizer), net=other, optimizer=again)
    assert slots == {key: id(value) for key, value in again.state[other[0].weight].items()}
    assert same_slots(net, optimizer, other, again)


def test_only_parameters_in_a_group_get_state(tmp_path):
    net, other = mlp(), mlp()
    optimizer = torch.optim.Adam(net.parameters())
    train(net, optimizer)
    path = write(tmp_path, net=net, optimizer=optimizer)
    again = torch.optim.Adam(other[0].parameters())
    status = read(path, net=other, optimizer=again)
    assert set(again.state) == set(other[0].parameters())
    assert len(again.state_dict()["state"]) == 2  # it raises KeyError where state is left over
    status.assert_existing_objects_matched()
    with pytest.raises(AssertionError, match=r"net/1/weight/\.OPTIMIZER_SLOT/optimizer/exp_avg"):
        status.assert_consumed()


def test_a_slot_is_saved_only_if_its_parameter_is_reachable(tmp_path, caplog):
    net = mlp()
    optimizer = torch.optim.Adam(net.parameters())
    train(net, optimizer)
    path = write(tmp_path, net=net[0], optimizer=optimizer)
    assert not [key for key, _ in cp.list_variables(path) if "net/1" in key]
    assert len([key for key, _ in cp.list_variables(path) if "SLOT" in key]) == 6
    write(tmp_path, net=net[0], optimizer=optimizer)
    (told,) = [record.message for record in caplog.records]  # once
    assert told.startswith("optimizer/state is not saved: 2 of its 4 parameters have state")


def test_groups_by_name_and_by_position(tmp_path):
    def build(order: list[str], lr: float) -> tuple[nn.Sequential, torch.optim.Optimizer]:
        net = mlp(3)
        groups = {
            "decay": {"params": net[0].parameters(), "name": "decay"},
            "rest": {"params": net[1].parameters(), "name": "rest"},
            "": {"params": net[2].parameters()},
        }
        optimizer = torch.optim.SGD([groups[name] for name in order], lr=lr)
        return net, optimizer

    _, optimizer = build(["decay", "", "rest"], 0.5)
    for number, group in enumerate(optimizer.param_groups):
        group["lr"] = number + 1.0
    path = write(tmp_path, optimizer=optimizer)
    assert sorted(key for key, _ in cp.list_variables(path) if "groups" in key) == [
        "optimizer/param_groups/1/.ATTRIBUTES/py_state",
        "optimizer/param_groups/decay/.ATTRIBUTES/py_state",
        "optimizer/param_groups/rest/.ATTRIBUTES/py_state",
    ]
    _, again = build(["rest", "", "decay"], 0.5)
    read(path, optimizer=again).assert_consumed()
    assert [group["lr"] for group in again.param_groups] == [3.0, 2.0, 1.0]
    _, one = build(["rest"], 0.5)
    status = read(path, optimizer=one)
    assert one.param_groups[0]["lr"] == 3.0
    with pytest.raises(AssertionError, match="optimizer/param_groups/decay"):
        status.assert_consumed()


def test_a_named_group_may_be_renamed_to_one_without_a_name(tmp_path):
    net, again = mlp(), mlp()
    groups = [{"params": net.parameters(), "name": "body", "lr": 0.25}]
    path = write(tmp_path, net=net, opt=torch.optim.SGD(groups))
    opt = torch.optim.SGD(again.parameters())
    renames = {"opt/param_groups/body": "opt/param_groups/0"}
    status = cp.Checkpoint(net=again, opt=opt).read(path, renames=renames)
    assert opt.param_groups[0]["lr"] == 0.25
    assert "name" not in opt.param_groups[0]
    status.assert_consumed()


def test_how_a_step_is_computed_is_the_programs_business(tmp_path):
    net = mlp()
    optimizer = torch.optim.AdamW(net.parameters(), foreach=True, maximize=True, lr=0.4)
    again = torch.optim.AdamW(net.parameters(), fused=True)
    read(write(tmp_path, optimizer=optimizer), optimizer=again).assert_consumed()
    group = again.param_groups[0]
    assert (group["foreach"], group["fused"]) == (None, True)
    assert (group["lr"], group["maximize"]) == (0.4, True)


def test_adamw_stays_adamw_whatever_the_checkpoint_is_of(tmp_path):
    # `load_state_dict` keeps it, too: the class sees to that in `__setstate__`
    net, again = mlp(), mlp()
    adam = torch.optim.Adam(net.parameters(), weight_decay=0.5)
    train(net, adam)
    optimizer = torch.optim.AdamW(again.parameters())
    read(write(tmp_path, net=net, opt=adam), net=again, opt=optimizer).assert_consumed()
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    by_torch = torch.optim.AdamW(again.parameters())
    by_torch.load_state_dict(adam.state_dict())
    assert by_torch.param_groups[0]["decoupled_weight_decay"] is True


def test_a_learning_rate_that_is_a_tensor_stays_where_it_is(tmp_path):
    net = mlp()
    optimizer = torch.optim.Adam(net.parameters(), lr=torch.tensor(0.25))
    rate = torch.tensor(0.5)
    again = torch.optim.Adam(net.parameters(), lr=rate)
    again.param_groups[0]["lr"] = rate
    path = write(tmp_path, optimizer=optimizer)
    assert "optimizer/param_groups/0/.ATTRIBUTES/py_state/lr" in dict(cp.list_variables(path))
    read(path, optimizer=again).assert_consumed()
    assert again.param_groups[0]["lr"] is rate
    assert rate == 0.25
    number = torch.optim.Adam(net.parameters(), lr=0.5)
    read(path, optimizer=number).assert_consumed()
    assert torch.equal(number.param_groups[0]["lr"], rate)


@pytest.mark.parametrize("late", [False, True])
def test_groups_that_share_a_learning_rate_get_each_its_own(tmp_path, late):
    # The default of an optimizer is one tensor in all of its groups.
    def program(*rates: float | None):
        net = mlp()
        groups = [{"params": layer.parameters()} for layer in net]
        for group, rate in zip(groups, rates, strict=True):
            if rate is not None:
                group["lr"] = torch.tensor(rate)
        return net, torch.optim.Adam(groups, lr=torch.tensor(0.5))

    def rates(optimizer) -> list[float]:
        return [float(group["lr"]) for group in optimizer.param_groups]

    net, optimizer = program(0.25, 0.125)
    path = write(tmp_path, net=net, opt=optimizer)
    again, other = program(None, None)
    assert other.param_groups[0]["lr"] is other.param_groups[1]["lr"]
    checkpoint = cp.Checkpoint(net=again)
    if late:
        status = checkpoint.read(path)
        checkpoint.opt = other
    else:
        checkpoint.opt = other
        status = checkpoint.read(path)
    status.assert_consumed()
    assert rates(other) == rates(optimizer) == [0.25, 0.125]
    # And what is the same in all of them stays shared, where it is.
    net, optimizer = program(None, None)
    path = cp.Checkpoint(net=net, opt=optimizer).write(tmp_path / "shared")
    again, other = program(None, None)
    shared = other.param_groups[0]["lr"]
    read(path, net=again, opt=other)
    assert all(group["lr"] is shared for group in other.param_groups)


def test_step_is_of_the_dtype_that_the_optimizer_would_make(tmp_path):
    net = mlp()
    optimizer = torch.optim.Adam(net.parameters())
    train(net, optimizer)
    path = write(tmp_path, net=net, optimizer=optimizer)
    torch.set_default_dtype(torch.float64)
    try:
        for fused, dtype in ((False, torch.float64), (True, torch.float32)):
            other = mlp().float()
            again = torch.optim.Adam(other.parameters(), fused=fused)
            read(path, net=other, optimizer=again).assert_consumed()
            step = again.state[other[0].weight]["step"]
            assert (step.dtype, float(step)) == (dtype, 1.0)
    finally:
        torch.set_default_dtype(torch.float32)


def test_slots_have_the_strides_of_their_parameter(tmp_path):
    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        net = nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last)
        return net, torch.optim.Adam(net.parameters())

    net, optimizer = build()
    net(torch.ones(1, 2, 4, 4)).sum().backward()
    optimizer.step()
    other, again = build()
    read(write(tmp_path, net=net, optimizer=optimizer), net=other, optimizer=again)
    assert again.state[other.weight]["exp_avg"].stride() == other.weight.stride()


class Odd(torch.optim.Optimizer):
    """An optimizer of a third party: Python numbers, None, nested tensors, state of its own."""

    def __init__(self, parameters) -> None:
        super().__init__(parameters, {"lr": 0.1})

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["step"] = state.get("step", 0) + 1
                state["none"] = None
                state["rate"] = 0.5 ** state["step"]
                state["factors"] = [torch.ones(2) * state["step"], {"v": torch.zeros(1)}]
        self.state["total"] = self.state.get("total", 0) or 0
        self.state["total"] = self.state["total"] + 1


def test_state_that_is_no_tensor(tmp_path):
    net, other = mlp(), mlp()
    optimizer, again = Odd(net.parameters()), Odd(other.parameters())
    optimizer.step()
    optimizer.step()
    path = write(tmp_path, net=net, optimizer=optimizer)
    key = "net/0/weight/.OPTIMIZER_SLOT/optimizer/factors/.ATTRIBUTES/py_state/0"
    assert dict(cp.list_variables(path))[key] == (2,)
    read(path, net=other, optimizer=again).assert_consumed()
    assert states(again) == states(optimizer)
    assert type(again.state[other[0].weight]["step"]) is int
    again.step()
    read(path, net=other, optimizer=again).assert_consumed()
    assert states(again) == states(optimizer)


def states(optimizer: torch.optim.Optimizer) -> dict[str, str]:
    return {str(key): str(state) for key, state in optimizer.state_dict()["state"].items()}


def lbfgs(net: nn.Module, order: str) -> torch.optim.LBFGS:
    return torch.optim.LBFGS([getattr(net, name) for name in order], max_iter=2)


class Three(nn.Module):
    def __init__(self, c: int = 4) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.ones(3)) for _ in range(2))
        self.c = nn.Parameter(torch.ones(c))

    def forward(self, _):
        return (self.a * self.b).sum() + (self.c - 2).square().sum()


def test_lbfgs_keeps_one_state_in_the_order_of_its_parameters(tmp_path):
    net = Three()
    optimizer = lbfgs(net, "abc")
    train(net, optimizer)
    path = write(tmp_path, net=net, optimizer=optimizer)
    with cp.load_checkpoint(path) as reader:
        places = {
            name: reader.get_tensor(
                f"net/{name}/.OPTIMIZER_SLOT/optimizer/position/.ATTRIBUTES/VARIABLE_VALUE"
            ).tolist()
            for name in "abc"
        }
    assert places == {"a": [0, 3], "b": [3, 3], "c": [6, 4]}
    other = Three()
    again = lbfgs(other, "abc")
    read(path, net=other, optimizer=again).assert_consumed()
    train(net, optimizer)
    train(other, again)
    assert torch.equal(net.c, other.c)


def test_lbfgs_refuses_another_order_and_size(tmp_path):
    net = Three()
    optimizer = lbfgs(net, "abc")
    train(net, optimizer)
    path = write(tmp_path, net=net, optimizer=optimizer)
    other = Three()
    with pytest.raises(cp.CheckpointMismatchError) as error:
        read(path, net=other, optimizer=lbfgs(other, "bac"))
    text = str(error.value)
    assert "elements 0 to 2 of its state in the checkpoint, but as elements 3 to 5" in text
    for name in "ab":
        assert f"net/{name}/.OPTIMIZER_SLOT/optimizer/position" in text
    assert torch.equal(other.c, torch.ones(4))
    with pytest.raises(cp.CheckpointMismatchError, match="covers 10 elements in the checkpoint"):
        read(path, net=other, optimizer=lbfgs(other, "ab"))


def test_a_slot_that_is_a_parameter_itself_is_refused(tmp_path):
    net = mlp(1)
    optimizer = torch.optim.SGD(net.parameters())
    optimizer.state[net[0].weight]["weight"] = net[0].weight
    with pytest.raises(NotImplementedError, match="slot 'weight' of net/0/weight is also stored"):
        write(tmp_path, net=net, optimizer=optimizer)
