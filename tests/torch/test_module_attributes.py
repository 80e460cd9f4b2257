"""Objects in plain attributes of a module that come back with it, and the rest, which is named."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from torch import nn

import checkpointable as cp
from tests.torch.conftest import NO_HOOKS, hook_counts


class Policy(nn.Module):
    """Keeps its optimizer and all else, as reinforcement learning libraries do."""

    def __init__(self, *, late: bool = False) -> None:
        super().__init__()
        self.body = nn.Linear(2, 2)
        if not late:
            self.build()

    def build(self) -> None:
        self.optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1)
        self.steps = cp.Variable(0)
        self.progress = cp.JSONState(best=None)
        self.average = Average()

    def train_once(self) -> None:
        self.optimizer.zero_grad()
        self.body(torch.ones(1, 2)).square().sum().backward()
        self.optimizer.step()
        self.scheduler.step()
        self.steps.assign_add(1)
        self.progress["best"] = 0.5
        self.average.value = self.body.weight.detach() * 0.9


class Average:
    def __init__(self) -> None:
        self.value = torch.zeros(2, 2)

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state) -> None:
        self.value = state["value"]


def trained() -> Policy:
    policy = Policy()
    for _ in range(2):
        policy.train_once()
    return policy


def check(one: Policy, two: Policy) -> None:
    assert two.steps.numpy() == 2
    assert dict(two.progress) == {"best": 0.5}
    assert two.scheduler.state_dict() == one.scheduler.state_dict()
    assert torch.equal(two.average.value, one.average.value)
    for policy in (one, two):
        policy.train_once()
    assert torch.equal(one.body.weight, two.body.weight)


@pytest.mark.parametrize("wrap", [lambda one: one, nn.DataParallel, torch.compile])
def test_objects_in_plain_attributes_come_back(tmp_path, caplog, wrap):
    one, two = trained(), Policy()
    path = cp.Checkpoint(policy=wrap(one)).write(tmp_path / "ckpt")
    cp.Checkpoint(policy=wrap(two)).read(path).assert_consumed()
    check(one, two)
    assert not caplog.records
    names = [name for name, _ in cp.list_variables(path)]
    assert "policy/steps/.ATTRIBUTES/VARIABLE_VALUE" in names
    assert (
        "policy/body/weight/.OPTIMIZER_SLOT/policy/optimizer/exp_avg/.ATTRIBUTES/VARIABLE_VALUE"
        in names
    )


def test_an_optimizer_that_the_program_names_too_keeps_that_name(tmp_path):
    one, two = trained(), Policy()
    path = cp.Checkpoint(policy=one, optimizer=one.optimizer).write(tmp_path / "ckpt")
    assert not any("policy/optimizer" in name for name, _ in cp.list_variables(path))
    cp.Checkpoint(policy=two, optimizer=two.optimizer).read(path).assert_consumed()
    check(one, two)


@pytest.mark.parametrize("look", ["status", "save", "step"])
def test_attributes_that_are_assigned_after_the_restore(tmp_path, hooks_go, look):
    one, two = trained(), Policy(late=True)
    path = cp.Checkpoint(policy=one).write(tmp_path / "ckpt")
    root = cp.Checkpoint(policy=two)
    status = root.read(path)
    assert hook_counts()["step"] == 1
    two.build()
    if look == "status":
        status.assert_consumed()
    elif look == "save":
        root.write(tmp_path / "again")
    else:
        two.optimizer.zero_grad()
        two.optimizer.step()  # without gradients: changes nothing, but is a step
    assert hook_counts() == NO_HOOKS
    check(one, two)


def test_a_replaced_attribute_keeps_its_state(tmp_path):
    one, two = trained(), Policy()
    status = cp.Checkpoint(policy=two).read(cp.Checkpoint(policy=one).write(tmp_path / "ckpt"))
    status.assert_consumed()
    two.steps = cp.Variable(7)
    status.report()
    assert two.steps.numpy() == 7


def test_a_copy_has_state_of_its_own(tmp_path):
    one = trained()
    copied = copy.deepcopy(one)
    path = cp.Checkpoint(policy=copied).write(tmp_path / "ckpt")
    two = Policy()
    cp.Checkpoint(policy=two).read(path).assert_consumed()
    check(one, two)


def test_a_file_of_tensors_has_none_of_it(tmp_path):
    one, two = trained(), Policy()
    torch.save(one.state_dict(), tmp_path / "model.pt")
    status = cp.Checkpoint(policy=two).restore(tmp_path / "model.pt")
    status.run_restore_ops()
    status.assert_consumed()
    assert torch.equal(two.body.weight, one.body.weight)
    assert two.steps.numpy() == 0


class Refusing(Average):
    def state_dict(self):
        raise NotImplementedError("not on this device")


def test_a_state_dict_that_raises_is_an_error_with_the_path(tmp_path):
    net = nn.Sequential(nn.Linear(1, 1))
    net.average = Refusing()
    with pytest.raises(ValueError, match=r"net/average: .*NotImplementedError: not on this device"):
        cp.Checkpoint(net=net).write(tmp_path / "ckpt")


class View(nn.Module):
    """Has registered tensors in another object too, as TensorDictParams does."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(2))
        self.register_buffer("b", torch.ones(2), persistent=False)
        self._tensors = Tensors(self.a, self.b)
        self._list = [self.a.data, self.b]


class Tensors:
    def __init__(self, *tensors: torch.Tensor) -> None:
        self.tensors = tensors

    def state_dict(self):
        return {"nested": {"tensors": list(self.tensors)}, "size": torch.Size([])}

    def load_state_dict(self, state) -> None:
        raise NotImplementedError


def warnings_of(caplog, tmp_path, **objects) -> dict[str, str]:
    """The paths that a save warns about, and why."""
    with caplog.at_level(logging.WARNING, "checkpointable"):
        caplog.clear()
        cp.Checkpoint(**objects).write(tmp_path / "ckpt")
    said = [record.getMessage().split(" is not saved: ") for record in caplog.records]
    assert len({path for path, _ in said}) == len(said)
    return dict(said)


def test_views_of_registered_tensors_are_neither_saved_again_nor_named(tmp_path, caplog):
    assert not warnings_of(caplog, tmp_path, it=View())
    names = [name for name, _ in cp.list_variables(tmp_path / "ckpt")]
    assert names == ["_CHECKPOINTABLE_OBJECT_GRAPH", "it/a/.ATTRIBUTES/VARIABLE_VALUE"]


class Holder(nn.Module):
    def __init__(self, value) -> None:
        super().__init__()
        self.inner = nn.Linear(1, 1)
        self.held = value


def hidden() -> nn.Module:
    holder = Holder(None)
    holder.__dict__["held"] = nn.Linear(1, 1)
    return holder


OVERLOOKED = {
    "a tensor": (lambda: Holder(torch.ones(2)), "register_buffer"),
    "a list of tensors": (lambda: Holder([torch.ones(2)]), "holds a Tensor"),
    "a list of modules": (lambda: Holder([nn.Linear(1, 1)]), "ModuleList"),
    "a dict of modules": (lambda: Holder({"a": nn.Linear(1, 1)}), "holds a Linear"),
    "a tuple of parameters": (lambda: Holder((nn.Parameter(torch.ones(1)),)), "ParameterList"),
    "a nested container": (lambda: Holder({"a": [(torch.ones(1),)]}), "it is a dict"),
    "a list of variables": (lambda: Holder([cp.Variable(1)]), "holds a Variable"),
    "a dict of averages": (lambda: Holder({"a": Average()}), "holds an Average"),
    "a generator": (lambda: Holder(torch.Generator()), "cp.torch.RandomState"),
    "a hidden module": (hidden, "past __setattr__"),
}


@pytest.mark.parametrize("name", OVERLOOKED)
def test_what_is_not_saved_is_named_once(tmp_path, caplog, name):
    make, why = OVERLOOKED[name]
    net = nn.ModuleDict({"it": make()})
    said = warnings_of(caplog, tmp_path, net=net)
    assert list(said) == ["net/it/held"]
    assert why in said["net/it/held"]
    assert not warnings_of(caplog, tmp_path, net=net)
    assert list(warnings_of(caplog, tmp_path, net=nn.DataParallel(make()))) == ["net/held"]


def normalized() -> nn.Module:
    with pytest.warns(FutureWarning):
        net = nn.utils.weight_norm(nn.Linear(2, 2))
    with torch.no_grad():
        net(torch.ones(1, 2))
    return net


def pruned() -> nn.Module:
    from torch.nn.utils import prune

    return prune.l1_unstructured(nn.Linear(4, 4), "weight", 2)


def spectral() -> nn.Module:
    return nn.utils.spectral_norm(nn.Linear(2, 2))


class KeepsState(nn.Module):
    """Saves its tensors itself."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.ones(2)
        self.values = [torch.ones(1)]

    def get_extra_state(self):
        return {"seen": self.seen.tolist(), "values": [one.clone() for one in self.values]}

    def set_extra_state(self, state) -> None:
        self.seen = torch.tensor(state["seen"])


class AddsState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.ones(2)

    def _save_to_state_dict(self, destination, prefix, keep_vars) -> None:
        destination[f"{prefix}seen"] = self.seen.detach()


def shared() -> nn.Module:
    holder = Holder(None)
    holder.held = [holder.inner, holder.inner.weight]
    return holder


COMPLETE = {
    "weight_norm": normalized,
    "spectral_norm": spectral,
    "pruning": pruned,
    "LSTM": lambda: nn.LSTM(2, 2),
    "a transformer": lambda: nn.Transformer(4, 2, 1, 1, 4),
    "extra state": KeepsState,
    "own entries": AddsState,
    "a list of saved modules": shared,
    "numbers and functions": lambda: Holder({"a": [1, "b", len], "c": nn.ReLU()}),
    "a class of modules": lambda: Holder(nn.Linear),
    "a lazy module": lambda: nn.LazyLinear(2),
    "quantization": torch.ao.quantization.FakeQuantize,
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", COMPLETE)
def test_nothing_is_said_where_nothing_is_missing(tmp_path, caplog, name):
    if name == "a lazy module":
        module = COMPLETE[name]()
        module(torch.ones(1, 2))
    else:
        module = COMPLETE[name]()
    assert not warnings_of(caplog, tmp_path, it=module)


def test_a_generator_with_a_random_state_is_saved(tmp_path, caplog):
    one, two = Holder(torch.Generator()), Holder(torch.Generator())
    one.held.manual_seed(5)
    roots = [cp.Checkpoint(it=it, rng=cp.torch.RandomState(it.held)) for it in (one, two)]
    roots[1].read(roots[0].write(tmp_path / "ckpt")).assert_consumed()
    assert two.held.initial_seed() == 5
    assert not caplog.records


class MixedPolicy(nn.Module, cp.Checkpointable):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(1, 1)
        self.register_buffer("cache", torch.ones(1), persistent=False)
        self.meant = cp.NoDependency(Average())
        self.optimizer = torch.optim.SGD(self.parameters(), 0.1)


def test_a_module_that_is_a_checkpointable_tracks_as_one(tmp_path, caplog):
    one = MixedPolicy()
    assert not warnings_of(caplog, tmp_path, it=one)
    assert not any("meant" in name for name, _ in cp.list_variables(tmp_path / "ckpt"))
    one.__dict__["past"] = Average()
    assert list(warnings_of(caplog, tmp_path, it=one)) == ["it/past"]


class MetricLike(nn.Module):
    """Has its states as torchmetrics has them."""

    def __init__(self, *, persistent: bool) -> None:
        super().__init__()
        self.value, self.seen = torch.tensor(0.0), [torch.ones(1)]
        self._defaults = {"value": torch.tensor(0.0), "seen": []}
        self._persistent = dict.fromkeys(self._defaults, persistent)
        self._cache = {"value": torch.tensor(1.0)}
        self._computed = torch.tensor(3.0)

    def state_dict(self, destination=None, prefix="", keep_vars=False):
        state = super().state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)
        for name in self._defaults:
            if self._persistent[name]:
                state[prefix + name] = getattr(self, name)
        return state

    def _load_from_state_dict(self, state, prefix, *args) -> None:
        for name in self._defaults:
            if prefix + name in state:
                setattr(self, name, state.pop(prefix + name))
        super()._load_from_state_dict(state, prefix, *args)


def test_metric_states_that_are_not_persistent_are_named(tmp_path, caplog):
    said = warnings_of(caplog, tmp_path, metric=MetricLike(persistent=False))
    assert list(said) == ["metric/value"]
    assert "(so are seen)" in said["metric/value"]
    assert "persistent(True)" in said["metric/value"]
    assert not warnings_of(caplog, tmp_path, metric=MetricLike(persistent=True))
