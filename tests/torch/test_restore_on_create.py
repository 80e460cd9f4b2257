"""Restore first, build later: what is built gets its values when it comes (S21)."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

import checkpointable as cp
from tests.torch.conftest import NO_HOOKS, hook_counts
from tests.torch.late import equal, mlp, step, trained, write

pytestmark = pytest.mark.usefixtures("hooks_go")


ARRIVALS = {
    "append": lambda net, name, child: net.append(child),
    "add_module": lambda net, name, child: net.add_module(name, child),
    "register_module": lambda net, name, child: net.register_module(name, child),
    "setattr": setattr,
    "extend": lambda net, name, child: net.extend([child]),
}


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
@pytest.mark.parametrize("arrival", ARRIVALS)
def test_modules_are_restored_as_they_come(tmp_path, kind, arrival):
    whole = kind([nn.Linear(2, 2) for _ in range(3)]) if kind is nn.ModuleList else mlp()
    net = kind()
    status = cp.Checkpoint(model=net).read(write(tmp_path, model=whole))
    assert hook_counts() == dict.fromkeys(NO_HOOKS, 1)
    for index in range(3):
        child = nn.Linear(2, 2)
        assert not equal(child, whole[index])
        ARRIVALS[arrival](net, str(index), child)
        assert equal(child, whole[index])  # at once
    assert hook_counts() == NO_HOOKS  # nothing is deferred any more
    status.assert_consumed()


def test_parameters_and_buffers_are_restored_as_they_come(tmp_path):
    def fill(module: nn.Module, value: float) -> None:
        module.assigned = nn.Parameter(torch.full((2,), value))
        module.register_parameter("registered", nn.Parameter(torch.full((2,), value)))
        module.register_buffer("buffer", torch.full((2,), value))
        module.register_buffer("left_out", torch.full((2,), value), persistent=False)
        module.scales = nn.ParameterList()
        module.scales.append(torch.full((2,), value))
        module.gains = nn.ParameterDict()
        module.gains["x"] = torch.full((2,), value)

    whole, net = nn.Module(), nn.Module()
    fill(whole, 1.0)
    status = cp.Checkpoint(model=net).read(write(tmp_path, model=whole))
    fill(net, 2.0)
    assert equal(net, whole)
    assert net.left_out.tolist() == [2, 2]
    status.assert_consumed()


def test_a_tree_built_from_the_outside_in_and_from_the_inside_out(tmp_path):
    whole = nn.Sequential(mlp(), mlp())
    path = write(tmp_path, model=whole)
    outside_in = nn.Sequential()
    status = cp.Checkpoint(model=outside_in).read(path)
    for index in range(2):
        inner = nn.Sequential()
        outside_in.append(inner)
        for _ in range(3):
            inner.append(nn.Linear(2, 2))
        assert equal(inner, whole[index])
    status.assert_consumed()
    inside_out = nn.Sequential()
    status = cp.Checkpoint(model=inside_out).read(path)
    inside_out.extend([mlp(), mlp()])
    assert equal(inside_out, whole)
    status.assert_consumed()


def test_the_whole_model_comes_later(tmp_path):
    whole = mlp()
    checkpoint = cp.Checkpoint()
    status = checkpoint.read(write(tmp_path, model=whole))
    checkpoint.model = mlp()
    assert equal(checkpoint.model, whole)
    status.assert_consumed()


@pytest.mark.parametrize(
    "look",
    ["forward", "forward of the root", "save", "restore", "status", "report"],
)
def test_what_fires_no_hook_is_found_before_it_is_used(tmp_path, look):
    class Net(nn.Module):
        def __init__(self, count: int) -> None:
            super().__init__()
            self.body = mlp(count)
            self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(count))

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.body(x)

    whole, net = Net(2), Net(1)
    path = write(tmp_path, model=whole)
    checkpoint = cp.Checkpoint(model=net)
    status = checkpoint.read(path)
    net.blocks.insert(1, nn.Linear(2, 2))  # fires no hook
    net.body.insert(1, nn.Linear(2, 2))
    assert not equal(net, whole)
    if look == "forward":
        x = torch.ones(1, 2)
        assert torch.equal(net.blocks[1](x), whole.blocks[1](x))
        assert torch.equal(net.body(x), whole.body(x))
    elif look == "forward of the root":
        assert torch.equal(net(torch.ones(1, 2)), whole(torch.ones(1, 2)))
    elif look == "save":
        checkpoint.write(tmp_path / "again")
    elif look == "restore":
        cp.Checkpoint(t=torch.ones(2)).read(write(tmp_path / "other", t=torch.ones(2)))
    elif look == "status":
        status.assert_consumed()
    else:
        status.report()
    assert equal(net, whole)
    status.assert_consumed()


@pytest.mark.parametrize("use", ["its items", "an item of it", "an item of an item"])
def test_a_container_that_is_not_called_itself_has_what_it_waits_for(tmp_path, use):
    def make(count: int) -> nn.Sequential:
        return nn.Sequential(*(nn.Sequential(nn.Linear(2, 2)) for _ in range(count)))

    class Net(nn.Module):
        def __init__(self, count: int) -> None:
            super().__init__()
            self.body = make(count)

        def forward(self, x):
            for block in self.body:
                x = block(x)
            return x

    whole, net, x = Net(2), Net(0), torch.ones(1, 2)
    cp.Checkpoint(model=net).read(write(tmp_path, model=whole)).expect_partial()
    for block in make(2):
        net.body.insert(len(net.body), block)  # fires no hook
    if use == "its items":
        assert torch.equal(net(x), whole(x))
    elif use == "an item of it":
        assert torch.equal(net.body[1](x), whole.body[1](x))
    else:
        assert torch.equal(net.body[1][0](x), whole.body[1][0](x))
    assert equal(net, whole)


def test_a_step_before_any_forward_finds_parameters_and_their_state(tmp_path):
    def step(*pairs):
        for net, optimizer in pairs:
            for parameter in net.parameters():
                parameter.grad = torch.ones_like(parameter)
            optimizer.step()

    whole = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    first = torch.optim.Adam(whole.parameters())
    step((whole, first))
    path = write(tmp_path, model=whole, optimizer=first)
    net = nn.ModuleList([nn.Linear(2, 2)])
    second = torch.optim.Adam(net.parameters())
    cp.Checkpoint(model=net, optimizer=second).read(path).expect_partial()
    net.insert(1, nn.Linear(2, 2))  # neither this
    second.param_groups[0]["params"] += list(net[1].parameters())  # nor that fires a hook
    step((whole, first), (net, second))
    assert equal(net, whole)
    assert second.state[net[1].weight]["step"] == 2


def test_a_container_waits_and_an_optimizer_of_other_parameters_steps(tmp_path):
    whole = nn.ModuleList([nn.Linear(2, 2)])
    path = write(tmp_path, model=whole)
    net = nn.ModuleList()
    cp.Checkpoint(model=net).read(path).expect_partial()
    net.insert(0, nn.Linear(2, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)  # in no checkpoint
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert torch.equal(net[0].weight, whole[0].weight - 1)


def test_lazy_modules_take_the_shape_of_the_checkpoint(tmp_path):
    def build() -> nn.Sequential:
        return nn.Sequential(
            *(nn.LazyConv1d(3, 1), nn.LazyBatchNorm1d(), nn.Flatten(), nn.LazyLinear(2))
        )

    whole, net = build(), build()
    x = torch.randn(4, 5, 6)
    whole(x)
    path = write(tmp_path, model=whole)
    cp.Checkpoint(model=net).read(path).assert_consumed()
    assert equal(net, whole)
    assert net[3].weight.shape == (2, 18)
    weight = net[3].weight
    net.eval(), whole.eval()
    assert torch.equal(net(x), whole(x))  # the first forward leaves the values alone
    assert net[3].weight is weight
    assert type(net[3]) is nn.Linear
    # Attached later, and into a program that has been called already.
    late = nn.Sequential()
    status = cp.Checkpoint(model=late).read(path)
    late.extend(build())
    assert equal(late, whole)
    status.assert_consumed()


def test_a_lazy_module_without_a_shape_is_not_saved_and_not_missed(tmp_path):
    path = write(tmp_path, model=nn.Sequential(nn.LazyLinear(2), nn.Linear(1, 1)))
    assert [k for k, _ in cp.list_variables(path) if "model/0" in k] == []
    program = cp.Checkpoint(model=nn.Sequential(nn.LazyLinear(2), nn.Linear(1, 1)))
    program.read(path).assert_consumed()


def test_what_never_comes_costs_next_to_nothing_and_ends_with_the_program(tmp_path):
    whole = mlp(40)
    path = write(tmp_path, model=whole, optimizer=trained(whole))
    net = mlp(20)
    optimizer = torch.optim.Adam(net.parameters())
    checkpoint = cp.Checkpoint(model=net, optimizer=optimizer)
    checkpoint.read(path).expect_partial()
    assert hook_counts() == dict.fromkeys(NO_HOOKS, 1)
    step(net, optimizer)
    del net, optimizer, checkpoint
    gc.collect()
    assert hook_counts() == NO_HOOKS


def test_a_mismatch_is_told_where_it_comes(tmp_path):
    path = write(tmp_path, model=mlp())
    net = nn.Sequential()
    cp.Checkpoint(model=net).read(path).expect_partial()
    with pytest.raises(cp.CheckpointMismatchError, match="model/0/weight"):
        net.append(nn.Linear(3, 2))
    assert len(net) == 0
    net.append(nn.Linear(2, 2))  # the next one gets its turn


def test_hooks_of_the_user_beside_ours(tmp_path):
    # Ours are removed while PyTorch goes through a table in which another one follows.
    whole = mlp(1)
    net = nn.Sequential()
    status = cp.Checkpoint(model=net).read(write(tmp_path, model=whole))
    seen = []
    handle = nn.modules.module.register_module_module_registration_hook(
        lambda module, name, child: seen.append(name)
    )
    try:
        net.append(nn.Linear(2, 2))
    finally:
        handle.remove()
    assert equal(net, whole)
    assert seen == ["0"]
    status.assert_consumed()  # the hook that was left is removed here
    assert hook_counts() == NO_HOOKS


def test_of_two_restores_the_last_wins_for_what_comes_later(tmp_path):
    first, second = mlp(2), mlp(2)
    paths = [
        cp.Checkpoint(model=net).write(tmp_path / str(number))
        for number, net in enumerate((first, second))
    ]
    net = nn.Sequential()
    checkpoint = cp.Checkpoint(model=net)
    statuses = [checkpoint.read(path) for path in paths]
    net.extend(mlp(2))
    assert equal(net, second)
    for status in statuses:
        status.assert_consumed()


REPLACED = {
    "item": lambda net: net.blocks.__setitem__(0, nn.Linear(2, 2)),
    "attribute": lambda net: setattr(net, "head", nn.Linear(2, 2)),
    "parameter": lambda net: setattr(net, "scale", nn.Parameter(torch.zeros(2))),
    "buffer": lambda net: setattr(net, "mean", torch.zeros(2)),
}


@pytest.mark.parametrize("kind", REPLACED)
@pytest.mark.parametrize("waits", [True, False])
def test_what_replaces_something_restored_keeps_its_values(tmp_path, kind, waits):
    # S23, as in TensorFlow (tests/tf/test_scenarios.py)
    class Net(nn.Module):
        def __init__(self, count: int) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(count))
            self.head = nn.Linear(2, 2)
            self.scale = nn.Parameter(torch.randn(2))
            self.register_buffer("mean", torch.randn(2))

    whole, net = Net(2), Net(1 if waits else 2)
    path = write(tmp_path, model=whole)
    status = cp.Checkpoint(model=net).read(path).expect_partial()
    before = {id(tensor) for tensor in net.state_dict(keep_vars=True).values()}
    REPLACED[kind](net)
    fresh = {
        name: tensor.clone()
        for name, tensor in net.state_dict(keep_vars=True).items()
        if id(tensor) not in before
    }
    assert fresh
    if waits:
        net.blocks.append(nn.Linear(2, 2))
        assert equal(net.blocks[1], whole.blocks[1])
    for name, tensor in fresh.items():
        assert torch.equal(net.state_dict()[name], tensor)
        with pytest.raises(AssertionError, match=name.replace(".", "/")):
            status.assert_existing_objects_matched()
    paths = ["model/" + name.replace(".", "/") for name in fresh]
    cp.Checkpoint(model=net).read(path).assert_consumed()
    assert equal(net, whole)
    status.require(*paths)


def test_nothing_is_kept_alive(tmp_path):
    # S26
    whole, net = mlp(2), mlp(1)
    path = write(tmp_path, model=whole)
    cp.Checkpoint(model=net).read(path).expect_partial()
    net(torch.ones(1, 2))
    references = [weakref.ref(net), weakref.ref(net[0])]
    del net
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_class_that_was_made_for_one_module_is_not_kept_alive(tmp_path):
    # S26: `parametrize` makes a class for each module that it changes, and the class holds it
    def make() -> nn.Module:
        return nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))

    path = cp.Checkpoint(net=nn.Linear(2, 2)).write(tmp_path / "plain")
    net = make()
    cp.Checkpoint(net=net).write(tmp_path / "ckpt")
    cp.Checkpoint(net=nn.DataParallel(net)).read(path).expect_partial()
    alive = weakref.ref(net)
    assert hook_counts() != NO_HOOKS
    del net
    gc.collect()
    assert alive() is None
    assert hook_counts() == NO_HOOKS
