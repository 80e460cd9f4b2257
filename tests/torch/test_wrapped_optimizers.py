"""Optimizers of third parties: within one another, with state of their own, under other keys."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

import pytest
import torch
from torch import nn

import checkpointable as cp
from tests.torch.test_state import same


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def train(model, optimizer, steps: int, seed: int = 0) -> list[float]:
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        x = torch.randn(5, 3, generator=generator)

        def closure(x=x):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).item())
    return losses


class Wrapping(torch.optim.Optimizer):
    """As wrappers are written: nothing of the base class is initialized."""

    def __init__(self, inner) -> None:
        self.optimizer = inner
        self.param_groups = inner.param_groups
        self.defaults = inner.defaults
        self.state = defaultdict(dict)
        self._optimizer_step_pre_hooks = OrderedDict()
        self._optimizer_step_post_hooks = OrderedDict()

    def parameters(self):
        return [p for group in self.param_groups for p in group["params"]]

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)


class Lookahead(Wrapping):
    def __init__(self, inner) -> None:
        super().__init__(inner)
        for group in self.param_groups:
            group["counter"] = 0

    @torch.no_grad()
    def step(self, closure=None):
        loss = self.optimizer.step(closure)
        for group in self.param_groups:
            group["counter"] += 1
            if group["counter"] % 2:
                continue
            for parameter in group["params"]:
                slow = self.state[parameter].setdefault("slow", parameter.detach().clone())
                parameter.copy_(slow.lerp_(parameter, 0.5))
        return loss

    def state_dict(self):
        return {
            "fast_state": self.optimizer.state_dict()["state"],
            "slow_state": {i: self.state[p] for i, p in enumerate(self.parameters())},
            "param_groups": self.param_groups,
        }

    def load_state_dict(self, state):
        raise AssertionError("nothing of it is left to load")


class SAM(torch.optim.Optimizer):
    def __init__(self, params, base, **options) -> None:
        super().__init__(params, options)
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure()
        before = [p.clone() for p in self.param_groups[0]["params"]]
        for p in self.param_groups[0]["params"]:
            p.add_(p.grad, alpha=0.05)
        with torch.enable_grad():
            closure()
        for p, old in zip(self.param_groups[0]["params"], before, strict=True):
            p.copy_(old)
        self.base_optimizer.step()
        return loss


class Both(Wrapping):
    """Several at once, in a list and in a dict."""

    def __init__(self, first, second) -> None:
        super().__init__(first)
        del self.optimizer
        self.several = [first]
        self.named = {"b": second}
        self.param_groups = [*first.param_groups, *second.param_groups]

    def zero_grad(self, set_to_none=True):
        for parameter in self.parameters():
            parameter.grad = None

    def step(self, closure=None):
        loss = closure()
        self.several[0].step()
        self.named["b"].step()
        return loss


class Counting(torch.optim.SGD):
    """State of its own in its own state dict."""

    def __init__(self, params) -> None:
        super().__init__(params, lr=0.1, momentum=0.9)
        self.count = 0

    def step(self, closure=None):
        self.count += 1
        self.param_groups[0]["lr"] = 0.1 / self.count
        return super().step(closure)

    def state_dict(self):
        return {**super().state_dict(), "count": self.count, "again": super().state_dict()}

    def load_state_dict(self, state):
        self.count = state.pop("count")
        super().load_state_dict(state)


class Numbered(torch.optim.Optimizer):
    """State under numbers, in a plain dict."""

    def __init__(self, params) -> None:
        super().__init__(params, {"lr": 0.1})
        self.state = {}

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure()
        for parameter in self.param_groups[0]["params"]:
            state = self.state.setdefault(parameter, {0: torch.zeros_like(parameter), 1: 0})
            state[1] += 1
            parameter.sub_(state[0].add_(parameter.grad), alpha=0.1 / state[1])
        return loss


MAKE = {
    "lookahead": lambda m: Lookahead(torch.optim.Adam(m.parameters())),
    "sam": lambda m: SAM(m.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9),
    "both": lambda m: Both(
        torch.optim.Adam(m[0].parameters()), torch.optim.Adagrad(m[2].parameters())
    ),
    "counting": lambda m: Counting(m.parameters()),
    "numbered": lambda m: Numbered(m.parameters()),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_it_goes_on_as_if_never_stopped(tmp_path, name, late):
    # S11, S22
    model = net()
    optimizer = MAKE[name](model)
    train(model, optimizer, 3)
    path = cp.Checkpoint(model=model, optimizer=optimizer).write(tmp_path / "ckpt")
    other = net(seed=5)
    if late:
        checkpoint = cp.Checkpoint(model=other)
        status = checkpoint.read(path)
        again = checkpoint.optimizer = MAKE[name](other)
        status.assert_consumed()
    else:
        again = MAKE[name](other)
        cp.Checkpoint(model=other, optimizer=again).read(path).assert_consumed()
    assert train(other, again, 4, seed=1) == train(model, optimizer, 4, seed=1)
    assert all(map(torch.equal, other.parameters(), model.parameters()))


def test_each_keeps_its_slots_under_its_own_path(tmp_path):
    model = net()
    optimizer = MAKE["lookahead"](model)
    train(model, optimizer, 2)
    path = cp.Checkpoint(model=model, optimizer=optimizer).write(tmp_path / "ckpt")
    keys = {key for key, _ in cp.list_variables(path)}
    start = "model/0/bias/.OPTIMIZER_SLOT/optimizer"
    assert f"{start}/slow/.ATTRIBUTES/VARIABLE_VALUE" in keys
    assert f"{start}/optimizer/exp_avg/.ATTRIBUTES/VARIABLE_VALUE" in keys
    # What its state dict says of slots is said, and stored, once.
    assert not any("state_dict" in key for key in keys)


def test_what_only_passes_on_is_not_there(tmp_path):
    """A wrapper that has the state of the one inside: bare and wrapped read each other's."""
    model = net()
    inner = torch.optim.Adam(model.parameters())
    wrapper = Wrapping(inner)
    wrapper.state = inner.state
    train(model, inner, 2)
    path = cp.Checkpoint(model=model, optimizer=wrapper).write(tmp_path / "ckpt")
    other = net(seed=1)
    bare = torch.optim.Adam(other.parameters())
    cp.Checkpoint(model=other, optimizer=bare).read(path).assert_consumed()
    assert same(
        [dict(bare.state[p]) for p in other.parameters()],
        [dict(inner.state[p]) for p in model.parameters()],
    )


def test_loading_its_own_state_leaves_the_slots_where_they_are(tmp_path):
    model = net()
    optimizer = Counting(model.parameters())
    train(model, optimizer, 2)
    path = cp.Checkpoint(model=model, optimizer=optimizer).write(tmp_path / "ckpt")
    slots = [optimizer.state[p]["momentum_buffer"] for p in model.parameters()]
    group = optimizer.param_groups[0]
    train(model, optimizer, 2)
    cp.Checkpoint(model=model, optimizer=optimizer).read(path).assert_consumed()
    assert optimizer.count == 2
    assert optimizer.param_groups[0] is group
    assert all(
        optimizer.state[p]["momentum_buffer"] is slot
        for p, slot in zip(model.parameters(), slots, strict=True)
    )
    with cp.load_checkpoint(path) as reader:
        state = reader.get_tensor("optimizer/state_dict/.ATTRIBUTES/py_state")
    assert state == b'{"count":2}'


def test_state_of_what_is_in_no_group_is_told(tmp_path, caplog):
    model = net()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    optimizer.state[torch.zeros(2)]["momentum_buffer"] = torch.zeros(2)
    checkpoint = cp.Checkpoint(model=model, optimizer=optimizer)
    checkpoint.write(tmp_path / "a")
    checkpoint.write(tmp_path / "b")
    told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert "SGD has state for 1 tensor(s) that are in none of its groups" in told[0]


@pytest.mark.parametrize("shares", [True, False])
def test_a_tensor_in_the_state_of_all_parameters(tmp_path, shares):
    # As the tables of 8-bit optimizers are.
    def program(value: float, *, shared: bool):
        net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        table = torch.full((3,), value)
        for parameter in net.parameters():
            state = optimizer.state[parameter]
            state["table"] = table if shared else table.clone()
        return net, optimizer

    net, optimizer = program(7, shared=True)
    path = cp.Checkpoint(net=net, optimizer=optimizer).write(tmp_path / "ckpt")
    again, other = program(1, shared=shares)
    cp.Checkpoint(net=again, optimizer=other).read(path).assert_consumed()
    fresh = torch.optim.SGD(again.parameters(), lr=0.1)
    cp.Checkpoint(net=again, optimizer=fresh).read(path).assert_consumed()
    for one in (other, fresh):
        assert [one.state[p]["table"].tolist() for p in again.parameters()] == [[7, 7, 7]] * 4
    assert torch.equal(net[0].weight, again[0].weight)


def test_a_key_that_is_no_name_is_refused(tmp_path):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.state[model[0].bias][(1, 2)] = torch.zeros(1)
    with pytest.raises(NotImplementedError, match=r"SGD keeps state .* under the key \(1, 2\)"):
        cp.Checkpoint(model=model, optimizer=optimizer).write(tmp_path / "ckpt")


@pytest.mark.parametrize("what", ["exp_avg", "weight"])
def test_damage_is_found_before_anything_changes_also_in_new_slots(tmp_path, what):
    # S25: slots that are made for a restore are verified as they are filled, and before that
    # nothing else has changed.
    model = nn.Linear(300, 300)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 300)).sum().backward()
    optimizer.step()
    path = cp.Checkpoint(model=model, optimizer=optimizer).write(tmp_path / "ckpt")
    slot = "/.OPTIMIZER_SLOT/optimizer/exp_avg" if what == "exp_avg" else ""
    key = f"model/weight{slot}/.ATTRIBUTES/VARIABLE_VALUE"
    with cp.load_checkpoint(path) as reader:
        offset = reader.entry(key).offset
    data = tmp_path / "ckpt.data-00000-of-00001"
    contents = bytearray(data.read_bytes())
    contents[offset + 9] ^= 1
    data.write_bytes(contents)
    other = nn.Linear(300, 300)
    before = [p.detach().clone() for p in other.parameters()]
    again = torch.optim.Adam(other.parameters(), lr=0.5)
    with pytest.raises(cp.CheckpointCorruptError, match="checksum") as error:
        cp.Checkpoint(model=other, optimizer=again).read(path)
    assert error.value.key == key
    assert all(map(torch.equal, other.parameters(), before))
    assert not again.state
    assert again.param_groups[0]["lr"] == 0.5


def test_progress_counts_new_slots_once(tmp_path):
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, 1)
    path = cp.Checkpoint(model=model, optimizer=optimizer).write(tmp_path / "ckpt")
    calls = []
    other = net(seed=1)
    checkpoint = cp.Checkpoint(model=other, optimizer=torch.optim.Adam(other.parameters()))
    checkpoint.read(path, progress=lambda *call: calls.append(call)).assert_consumed()
    done, total, _ = calls[-1]
    assert done == total
    assert [call[0] for call in calls] == sorted(call[0] for call in calls)
