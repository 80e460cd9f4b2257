"""Modules in other modules' clothes: scripted, sharded, wrapped, with hooks of their state dict."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn

import checkpointable as cp


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))


def write(tmp_path, **objects) -> str:
    return cp.Checkpoint(**objects).write(tmp_path / "ckpt")


def read(path: str, **objects) -> None:
    cp.Checkpoint(**objects).read(path).assert_consumed()


@pytest.fixture
def group():
    """A group of processes, of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_module_and_a_plain_one_read_each_others_checkpoints(tmp_path):
    plain, scripted = net(), torch.jit.script(net())
    read(write(tmp_path, model=plain), model=scripted)
    assert torch.equal(scripted.state_dict()["1.weight"], plain[1].weight)
    other = net()
    read(write(tmp_path, model=scripted), model=other)
    assert torch.equal(other[1].weight, plain[1].weight)


def test_a_checkpointed_module_and_a_plain_one_too(tmp_path):
    from torch.distributed.algorithms._checkpoint import checkpoint_wrapper

    plain, wrapped = net(), net()
    wrapped[1] = checkpoint_wrapper.checkpoint_wrapper(wrapped[1])
    read(write(tmp_path, model=plain), model=wrapped)
    assert torch.equal(wrapped.state_dict()["1.weight"], plain[1].weight)


def test_a_distributed_module_and_its_optimizer(tmp_path, group):
    model = nn.parallel.DistributedDataParallel(net())
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    path = write(tmp_path, model=model, optimizer=optimizer)
    bare = net()
    again = torch.optim.Adam(bare.parameters())
    read(path, model=bare, optimizer=again)
    assert torch.equal(bare[0].weight, model.module[0].weight)
    slots = optimizer.state[model.module[0].weight]
    assert torch.equal(again.state[bare[0].weight]["exp_avg"], slots["exp_avg"])


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_zero_redundancy_optimizer(tmp_path, group):
    from torch.distributed.optim import ZeroRedundancyOptimizer

    def make(model):
        return ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.1)

    model, other = net(), net()
    optimizer, again = make(model), make(other)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    read(write(tmp_path, model=model, optimizer=optimizer), model=other, optimizer=again)
    for parameter, own in zip(model.parameters(), other.parameters(), strict=True):
        slots = optimizer.optim.state[parameter]
        assert torch.equal(again.optim.state[own]["exp_avg"], slots["exp_avg"])


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_what_is_sharded_is_refused_with_what_to_do(tmp_path, group):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    path = write(tmp_path, model=net())
    files = sorted(tmp_path.iterdir())
    flat = FullyShardedDataParallel(net(), device_id=torch.device("cpu"))
    by_tensor = fully_shard(net(), mesh=init_device_mesh("cpu", (1,)))
    cases = ((flat, "^model: Fully.*full_state_dict"), (by_tensor, "^model/0/.*full_tensor"))
    for model, words in cases:
        checkpoint = cp.Checkpoint(model=model)
        with pytest.raises(cp.CheckpointUnsupportedError, match=words):
            checkpoint.write(tmp_path / "other")
        with pytest.raises(cp.CheckpointUnsupportedError, match=words):
            checkpoint.read(path)
    assert sorted(tmp_path.iterdir()) == files


class Hooked(nn.Module):
    """A module whose hooks add entries to its state dict and remove them again."""

    def __init__(self, level: int = 0) -> None:
        super().__init__()
        self.inner = nn.Linear(1, 1)
        self.level = level
        self.register_state_dict_post_hook(self.add)
        self.register_load_state_dict_pre_hook(self.take)

    @staticmethod
    def add(module, state, prefix, _) -> None:
        state[f"{prefix}level"] = module.level
        state[f"{prefix}again"] = state[f"{prefix}inner.weight"]

    @staticmethod
    def take(module, state, prefix, *_) -> None:
        module.level = state.pop(f"{prefix}level")


def test_what_hooks_add_to_a_state_dict(tmp_path):
    model, other = nn.Sequential(Hooked(level=7)), nn.Sequential(Hooked())
    path = write(tmp_path, model=model)
    read(path, model=other)
    assert other[0].level == 7
    keys = {key for key, _ in cp.list_variables(path)}
    assert "model/0/.ATTRIBUTES/py_state" in keys
    assert not any("again" in key for key in keys)  # it is there under its own name


class _FabricModule(nn.Module):
    """As Lightning Fabric has it: the strategy's module, and the user's beside it."""

    __module__ = "lightning.fabric.wrappers"

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._forward_module = nn.DataParallel(module)
        self._original_module = module


_FabricModule.__qualname__ = "_FabricModule"


@pytest.mark.parametrize("package", ["lightning.fabric", "lightning_fabric"])
def test_a_module_of_fabric_and_a_plain_one_read_each_others_checkpoints(tmp_path, package):
    cls = type("_FabricModule", (_FabricModule,), {"__module__": f"{package}.wrappers"})
    plain, wrapped = net(), cls(net())
    path = write(tmp_path, model=plain)
    read(path, model=wrapped)
    assert torch.equal(wrapped._original_module[0].weight, plain[0].weight)
    other = net()
    wrapped_path = write(tmp_path, model=wrapped)
    assert [key for key, _ in cp.list_variables(wrapped_path)][1:] == [
        f"model/{index}/{name}/.ATTRIBUTES/VARIABLE_VALUE"
        for index in (0, 1)
        for name in ("bias", "weight")
    ]
    read(wrapped_path, model=other)
    assert torch.equal(other[1].weight, plain[1].weight)
