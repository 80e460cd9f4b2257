"""Modules on the meta device: recorded, then restored straight into their memory (S34, S35)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import checkpointable as cp


class Net(nn.Module):
    def __init__(self, *, head: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5, bias=True)
        self.out.weight = self.embedding.weight
        self.norm = nn.BatchNorm1d(3)
        if head:
            self.head = nn.Linear(5, 2)


def meta(**options) -> Net:
    with torch.device("meta"):
        return Net(**options)


def write(tmp_path, **objects) -> str:
    return cp.Checkpoint(**objects).write(tmp_path / "ckpt")


def equal(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def is_meta(module: nn.Module) -> set[bool]:
    return {tensor.is_meta for tensor in module.state_dict().values()}


def test_restore_records_and_run_restore_ops_gives_memory(tmp_path):
    whole, net = Net(), meta()
    net.out.bias.requires_grad_(False)
    net.head.weight.tag = "kept"
    tensors = dict(net.state_dict(keep_vars=True))
    status = cp.Checkpoint(model=net).read(write(tmp_path, model=whole))
    assert is_meta(net) == {True}
    status.assert_consumed()
    status.run_restore_ops()
    assert equal(net, whole)
    for name, tensor in net.state_dict(keep_vars=True).items():
        assert tensor is tensors[name]  # identity
    assert net.out.weight is net.embedding.weight  # ties
    assert isinstance(net.out.weight, nn.Parameter)
    assert net.embedding.weight.requires_grad
    assert not net.out.bias.requires_grad
    assert net.head.weight.tag == "kept"
    net.head(torch.ones(1, 5)).sum().backward()
    assert net.head.weight.grad is not None
    status.assert_consumed()


def test_an_optimizer_made_over_meta_parameters(tmp_path):
    whole = Net()
    optimizer = torch.optim.Adam(whole.parameters(), lr=0.2)
    for parameter in whole.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    path = write(tmp_path, model=whole, optimizer=optimizer)
    net = meta()
    other = torch.optim.Adam(net.parameters())
    status = cp.Checkpoint(model=net, optimizer=other).read(path)
    status.assert_consumed().run_restore_ops()
    for one, two in ((whole, optimizer), (net, other)):
        for parameter in one.parameters():
            parameter.grad = torch.ones_like(parameter)
        two.step()
    assert equal(net, whole)
    assert str(optimizer.state_dict()) == str(other.state_dict())


def test_memory_formats_dtypes_and_empty_tensors(tmp_path):
    def build() -> nn.Module:
        net = nn.Conv2d(3, 4, 3).to(torch.bfloat16, memory_format=torch.channels_last)
        net.register_buffer("empty", torch.empty(0, 3))
        net.register_buffer("scalar", torch.ones((), dtype=torch.int64))
        net.register_buffer("small", torch.ones(3).to(torch.float8_e4m3fn))
        return net

    whole = build()
    with torch.device("meta"):
        net = build()
    status = cp.Checkpoint(model=net).read(write(tmp_path, model=whole))
    status.run_restore_ops()
    assert net.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(net.weight, whole.weight)
    assert net.small.dtype == torch.float8_e4m3fn
    assert net.empty.shape == (0, 3)


def test_what_is_not_in_the_checkpoint_is_initialized(tmp_path):
    path = write(tmp_path, model=Net(head=False))
    net = meta()
    net.norm = nn.BatchNorm1d(3)  # this one has memory, and values of the checkpoint
    status = cp.Checkpoint(model=net).read(path)
    with pytest.raises(AssertionError, match="model/head/weight"):
        status.assert_existing_objects_matched()
    status.initialize_or_restore()
    assert is_meta(net) == {False}
    assert net.head.weight.abs().sum() > 0
    again = Net(head=False)
    cp.Checkpoint(model=again).read(path)
    assert torch.equal(net.embedding.weight, again.embedding.weight)
    assert isinstance(net.head.weight, nn.Parameter)


def test_a_module_restored_in_part_initializes_the_rest(tmp_path):
    class Plain(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 2, bias=False)

    whole = Plain()
    with torch.device("meta"):
        net = nn.Linear(3, 2)
    weight = net.weight
    cp.Checkpoint(model=net).read(write(tmp_path, model=whole)).initialize_or_restore()
    assert net.weight is weight
    assert torch.equal(net.weight, whole.weight)
    assert 0 < net.bias.abs().max() <= 3**-0.5


def test_a_first_start_is_the_same_line():
    # S32
    net = meta()
    cp.Checkpoint(model=net).restore(None).initialize_or_restore()
    assert is_meta(net) == {False}
    assert torch.equal(net.norm.running_var, torch.ones(3))
    assert net.out.weight is net.embedding.weight


def test_what_cannot_be_initialized_is_named():
    with torch.device("meta"):
        net = nn.Module()
        net.scale = nn.Parameter(torch.ones(2))
        net.inner = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"1 tensor.*model/scale"):
        cp.Checkpoint(model=net).restore(None).initialize_or_restore()
    assert net.inner.weight.is_meta  # nothing was changed


def test_what_comes_later_is_run_by_the_next_call(tmp_path):
    def blocks(count: int) -> nn.Sequential:
        return nn.Sequential(*(nn.Linear(2, 2) for _ in range(count)))

    whole = blocks(2)
    with torch.device("meta"):
        net = blocks(1)
    status = cp.Checkpoint(model=net).read(write(tmp_path, model=whole))
    status.run_restore_ops()  # while assert_consumed still fails
    with pytest.raises(AssertionError):
        status.assert_consumed()
    with torch.no_grad():
        net[0].weight.fill_(7)  # trained since
    net.append(nn.Linear(2, 2, device="meta"))
    status.assert_consumed().run_restore_ops()
    assert torch.equal(net[1].weight, whole[1].weight)
    assert net[0].weight[0, 0] == 7


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_restores_the_last_wins_in_whatever_order_they_run(tmp_path, order):
    nets = [Net(), Net()]
    paths = [cp.Checkpoint(model=n).write(tmp_path / str(i)) for i, n in enumerate(nets)]
    net = meta()
    checkpoint = cp.Checkpoint(model=net)
    statuses = [checkpoint.read(path) for path in paths]
    for number in order:
        statuses[number].run_restore_ops()
    assert equal(net, nets[1])


def test_a_program_that_takes_memory_itself(tmp_path):
    whole, net = Net(), meta()
    status = cp.Checkpoint(model=net).read(write(tmp_path, model=whole))
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        net.to_empty(device="cpu")
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    for name, buffer in net.norm.named_buffers():
        assert not buffer.is_meta
        setattr(net.norm, name, buffer)
    cp.Checkpoint(model=net).read(write(tmp_path, model=whole))
    status.run_restore_ops()
    assert equal(net, whole)


def test_a_mismatch_and_the_wrong_moment(tmp_path):
    path = write(tmp_path, model=nn.Linear(2, 2))
    with torch.device("meta"):
        wrong, right = nn.Linear(3, 2), nn.Linear(2, 2)
        with pytest.raises(cp.CheckpointMismatchError, match="model/weight"):
            cp.Checkpoint(model=wrong).read(path)
        status = cp.Checkpoint(model=right).read(path)
        with pytest.raises(ValueError, match="current default device"):
            status.run_restore_ops()
    assert right.weight.is_meta
    status.run_restore_ops()
    assert not right.weight.is_meta


def test_lazy_modules_on_the_meta_device(tmp_path):
    whole = nn.Linear(3, 2)
    with torch.device("meta"):
        net = nn.LazyLinear(2)
    cp.Checkpoint(model=net).read(write(tmp_path, model=whole)).run_restore_ops()
    assert torch.equal(net(torch.ones(1, 3)), whole(torch.ones(1, 3)))


class Rotary(nn.Module):
    """A weight, and a buffer that no checkpoint has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("inverse", self.compute(), persistent=False)

    def compute(self) -> torch.Tensor:
        return 1 / torch.arange(1.0, 4.0)


class InPlace(Rotary):
    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        self.inverse.data.copy_(self.compute())


class Replacing(Rotary):
    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        self.inverse = self.compute()


class Forgetting(Rotary):
    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)


class Model(nn.Module):
    """As transformers has it: the model initializes its modules."""

    def __init__(self) -> None:
        super().__init__()
        self.rotary = Rotary()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, Rotary):
            module.inverse.copy_(module.compute())


@pytest.mark.parametrize("make", [InPlace, Replacing, Model])
def test_buffers_that_no_checkpoint_has_are_computed_by_their_module(tmp_path, make):
    # S35
    with torch.no_grad():
        whole = make()
        next(whole.parameters()).fill_(7)
    path = write(tmp_path, model=whole)
    with torch.device("meta"):
        net = make()
    weight = next(net.parameters())
    with torch.no_grad():
        cp.Checkpoint(model=net).read(path).assert_consumed().initialize_or_restore()
    assert weight.tolist() == [7, 7]
    assert (
        next(net.buffers()).tolist()
        == whole.get_buffer(next(iter(net.named_buffers()))[0]).tolist()
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Rotary, "nothing initializes them: model/inverse.*has no reset_parameters"),
        (Forgetting, "leaves them out: model/inverse"),
    ],
)
def test_buffers_that_nothing_computes_are_named(tmp_path, make, words):
    path = write(tmp_path, model=make())
    with torch.device("meta"):
        net = make()
    status = cp.Checkpoint(model=net).read(path)
    with pytest.raises(ValueError, match=rf"1 tensor.*{words}"):
        status.initialize_or_restore()
    # Not what happened to be in its memory: a forward says that it has no contents.
    assert net.inverse.is_meta
    assert net.weight.tolist() == [1, 1]


def test_run_restore_ops_tells_of_buffers_that_no_checkpoint_has(tmp_path, caplog):
    # S34
    path = write(tmp_path, model=InPlace())
    with torch.device("meta"):
        net = InPlace()
    status = cp.Checkpoint(model=net).read(path)
    assert not caplog.records
    status.run_restore_ops()
    assert [r.message for r in caplog.records if "model/inverse: on the meta" in r.message]
    caplog.clear()
    status.initialize_or_restore()
    status.run_restore_ops()
    assert not caplog.records


def test_parameters_that_their_modules_method_passes_over_are_named(tmp_path):
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.ones(2))
            self.b = nn.Parameter(torch.ones(2))

        def reset_parameters(self) -> None:
            nn.init.ones_(self.a)

    with torch.device("meta"):
        net = Half()
    with pytest.raises(ValueError, match=r"leaves them out: model/b\."):
        cp.Checkpoint(model=net).restore(None).initialize_or_restore()
    assert net.b.is_meta
    assert net.a.tolist() == [1, 1]


def test_a_lazy_modules_sizes_follow_on_the_meta_device(tmp_path):
    whole = nn.InstanceNorm1d(3, affine=True, track_running_stats=True)
    with torch.device("meta"):
        net = nn.LazyInstanceNorm1d(affine=True, track_running_stats=True)
    cp.Checkpoint(model=net).read(write(tmp_path, model=whole)).run_restore_ops()
    assert net.num_features == 3
    x = torch.randn(2, 3, 4)
    assert torch.equal(net.eval()(x), whole.eval()(x))
