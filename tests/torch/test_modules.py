"""Modules: what is saved of them, under which names, and how it comes back."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import checkpointable as cp


def keys(path: str) -> list[str]:
    """The paths of the values in a checkpoint."""
    return sorted(
        key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
        for key, _ in cp.list_variables(path)
        if key.endswith("/.ATTRIBUTES/VARIABLE_VALUE")
    )


def full_names(path: str) -> dict[str, str]:
    """Key -> global name, of every value that has one."""
    return {
        attribute.checkpoint_key.partition("/.ATTRIBUTES")[0]: attribute.full_name
        for node in cp.object_metadata(path).nodes
        for attribute in node.attributes
        if attribute.full_name
    }


def save(tmp_path, **objects) -> str:
    return cp.Checkpoint(**objects).write(tmp_path / "ckpt")


def read(path: str, **objects) -> None:
    cp.Checkpoint(**objects).read(path).assert_consumed()


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.BatchNorm1d(4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.named = nn.ModuleDict({"left": nn.Linear(4, 1, bias=False)})
        self.scales = nn.ParameterList([torch.ones(2), torch.zeros(3)])
        self.gains = nn.ParameterDict({"x": torch.ones(1), "y": torch.zeros(1)})
        self.register_parameter("nothing", None)
        self.register_buffer("mask", torch.ones(3, dtype=torch.bool))
        self.register_buffer("cache", torch.ones(5), persistent=False)
        self.register_buffer("unset", None)
        self.body = nn.Sequential(nn.Conv1d(4, 4, 1), nn.ReLU(), nn.LSTM(4, 3))


def randomize(module: nn.Module) -> None:
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.normal_()
            else:
                tensor.random_(0, 2)


def test_a_module_is_saved_as_its_state_dict_has_it(tmp_path):
    net = Net()
    randomize(net)
    path = save(tmp_path, model=net)
    # S10: the module's own attribute names; the global name is that of the state dict.
    assert set(keys(path)) == {"model/" + name.replace(".", "/") for name in net.state_dict()}
    assert full_names(path) == {
        "model/" + name.replace(".", "/"): name for name in net.state_dict()
    }
    other = Net()
    identities = {name: id(tensor) for name, tensor in other.state_dict(keep_vars=True).items()}
    read(path, model=other)
    assert same(net, other)
    assert identities == {
        name: id(tensor) for name, tensor in other.state_dict(keep_vars=True).items()
    }
    assert torch.equal(other.cache, torch.ones(5))


def test_the_root_may_be_a_module(tmp_path):
    net, other = nn.Linear(2, 3), nn.Linear(2, 3)
    path = cp.CheckpointableSaver(net).save(tmp_path / "ckpt", 1)
    assert keys(path) == ["bias", "weight"]
    cp.CheckpointableSaver(other).restore(path).assert_consumed()
    assert same(net, other)
    third = nn.Linear(2, 3)
    checkpoint = cp.Checkpoint(third, step=cp.Variable(3))
    checkpoint.read(checkpoint.write(tmp_path / "more")).assert_consumed()


def test_an_attribute_name_with_a_slash_or_a_dot_is_escaped(tmp_path):
    holder = nn.Module()
    holder._modules["a/b.c"] = nn.Linear(1, 1)  # add_module refuses the dot
    assert keys(save(tmp_path, model=holder)) == ["model/a.Sb..c/bias", "model/a.Sb..c/weight"]


class Tied(nn.Module):
    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        if tied:
            self.head.weight = self.embedding.weight


def test_tied_weights_are_stored_once_and_an_untied_program_is_told(tmp_path, caplog):
    net = Tied(tied=True)
    path = save(tmp_path, model=net)
    assert keys(path) == ["model/embedding/weight"]
    other = Tied(tied=True)
    read(path, model=other)
    assert same(net, other)
    # S23: one checkpoint node goes to at most one object.
    untied = Tied(tied=False)
    before = untied.head.weight.detach().clone()
    status = cp.Checkpoint(model=untied).read(path)
    assert torch.equal(untied.embedding.weight, net.embedding.weight)
    assert torch.equal(untied.head.weight, before)
    assert "model/head/weight" in caplog.text
    with pytest.raises(AssertionError, match="model/head/weight"):
        status.assert_existing_objects_matched()


def test_an_untied_checkpoint_in_a_tied_program(tmp_path, caplog):
    path = save(tmp_path, model=Tied(tied=False))
    tied = Tied(tied=True)
    with pytest.raises(AssertionError, match="model/head/weight"):
        cp.Checkpoint(model=tied).read(path).assert_consumed()
    assert "differ" in caplog.text


def test_weight_norm_and_parametrizations(tmp_path):
    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

    def build() -> nn.Module:
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
        parametrizations.weight_norm(net[0])
        parametrize.register_parametrization(net[1], "weight", Symmetric())
        parametrizations.spectral_norm(net[2])
        return net

    net, other = build(), build()
    net(torch.ones(2, 3))  # spectral norm keeps buffers
    path = save(tmp_path, model=net)
    assert set(full_names(path).values()) == set(net.state_dict())
    assert "model/0/parametrizations/weight/original0" in keys(path)
    read(path, model=other)
    assert same(net, other)
    net.eval(), other.eval()
    assert torch.equal(net(torch.ones(2, 3)), other(torch.ones(2, 3)))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weight_norm_of_old(tmp_path):
    net, other = (torch.nn.utils.weight_norm(nn.Linear(3, 2)) for _ in range(2))
    read(save(tmp_path, model=net), model=other)
    assert torch.equal(net(torch.ones(1, 3)), other(torch.ones(1, 3)))


def compiled(module: nn.Module) -> nn.Module:
    return torch.compile(module, backend="eager")


def parallel(module: nn.Module) -> nn.Module:
    return nn.DataParallel(module)


def distributed(module: nn.Module) -> nn.Module:
    return nn.parallel.DistributedDataParallel(module)


def twice(module: nn.Module) -> nn.Module:
    return compiled(parallel(module))


@pytest.fixture
def process_group():
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("wrap", [compiled, parallel, distributed, twice])
def test_wrappers_are_transparent(tmp_path, wrap):
    bare, wrapped = nn.Linear(3, 2), wrap(nn.Linear(3, 2))
    path = save(tmp_path, model=wrapped)
    assert keys(path) == ["model/bias", "model/weight"]
    assert set(full_names(path).values()) == {"bias", "weight"}
    read(path, model=bare)
    assert torch.equal(wrapped(torch.ones(1, 3)), bare(torch.ones(1, 3)))
    again = wrap(nn.Linear(3, 2))
    read(save(tmp_path, model=bare), model=again)
    assert torch.equal(again(torch.ones(1, 3)), bare(torch.ones(1, 3)))
    # A wrapped submodule, and a program that knows a module under both names.
    outer = nn.Sequential(wrap(nn.Linear(3, 2)))
    read(save(tmp_path, outer=outer), outer=nn.Sequential(nn.Linear(3, 2)))
    read(save(tmp_path, a=again, b=bare), a=nn.Linear(3, 2), b=nn.Linear(3, 2))


def test_a_module_and_its_wrapper_in_one_program(tmp_path):
    net = nn.Linear(2, 2)
    path = save(tmp_path, a=net, b=compiled(net))
    other = nn.Linear(2, 2)
    read(path, a=compiled(other), b=other)
    assert same(net, other)


def test_modules_in_lists_dicts_and_checkpointables(tmp_path):
    def build() -> cp.Checkpoint:
        group = cp.Checkpointable()
        group.nets = [nn.Linear(1, 2), {"x": nn.Linear(2, 1)}]
        group.parameter = nn.Parameter(torch.randn(3))
        group.tensor = torch.randn(2)
        return cp.Checkpoint(group=group)

    one, other = build(), build()
    path = one.write(tmp_path / "ckpt")
    assert keys(path) == [
        *("group/nets/0/bias", "group/nets/0/weight"),
        *("group/nets/1/x/bias", "group/nets/1/x/weight"),
        *("group/parameter", "group/tensor"),
    ]
    other.read(path).assert_consumed()
    assert torch.equal(one.group.tensor, other.group.tensor)
    assert torch.equal(one.group.parameter, other.group.parameter)


def test_a_restored_module_is_copied_pickled_and_saved_like_any_other(tmp_path):
    net = nn.Linear(2, 2)
    status = cp.Checkpoint(model=net).read(save(tmp_path, model=net))
    for clone in (copy.deepcopy(net), copy.copy(net)):
        assert same(net, clone)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    assert same(net, torch.load(file, weights_only=False))
    file = io.BytesIO()
    torch.save(dict(net.named_parameters()), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert torch.equal(loaded["weight"], net.weight)
    read(save(tmp_path, weight=loaded["weight"]), weight=copy.copy(net.weight))
    status.assert_consumed()


def test_a_restored_module_may_be_converted_by_swapping(tmp_path):
    net = nn.Linear(2, 2)
    cp.Checkpoint(model=net).read(save(tmp_path, model=net)).assert_consumed()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        net.double()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert net.weight.dtype == torch.float64


def test_a_mismatch_leaves_every_parameter_as_it_was(tmp_path):
    # S25
    path = save(tmp_path, model=nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)))
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5)).double()
    before = copy.deepcopy(net)
    with pytest.raises(cp.CheckpointMismatchError) as error:
        cp.Checkpoint(model=net).read(path)
    assert "model/1/weight" in str(error.value)
    assert "shape (4, 3) in the checkpoint, (5, 3) in the program" in str(error.value)
    assert "dtype float32 in the checkpoint, float64 in the program" in str(error.value)
    assert same(net, before)


def test_full_names_start_at_the_outermost_module(tmp_path):
    names = full_names(save(tmp_path, nets=[nn.Sequential(nn.Linear(1, 1, bias=False))]))
    assert names == {"nets/0/0/weight": "0.weight"}
