"""Tensors on the meta device: references to them while they get memory, and initialization."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn

import checkpointable as cp


def write(tmp_path, **objects) -> str:
    return cp.Checkpoint(**objects).write(tmp_path / "ckpt")


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.second = nn.GRU(8, 2)
        self.tied = nn.GRU(8, 2)
        for name, parameter in self.second.named_parameters():
            setattr(self.tied, name, parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)[0]
        return self.second(hidden)[0] + self.tied(hidden)[0]


def test_recurrent_modules_which_refer_weakly_to_their_parameters(tmp_path):
    # S34, S35: `torch.utils.swap_tensors` refuses a tensor that something refers to weakly
    whole, x = Recurrent(), torch.randn(5, 2, 3)
    path = write(tmp_path, model=whole)
    with torch.device("meta"):
        net = Recurrent()
    parameters = list(net.parameters())
    status = cp.Checkpoint(model=net).read(path).assert_consumed()
    status.run_restore_ops()
    assert all(one is other for one, other in zip(net.parameters(), parameters, strict=True))
    assert torch.equal(net(x), whole(x))
    references = [reference() for reference in net.first._flat_weight_refs]
    assert all(one is other for one, other in zip(references, net.first.parameters(), strict=True))
    net(x).sum().backward()
    with torch.device("meta"):
        fresh = Recurrent()
    cp.Checkpoint(model=fresh).restore(None).initialize_or_restore()
    assert fresh(x).isfinite().all()


@pytest.mark.parametrize("hold", [weakref.ref, lambda tensor: tensor.view(-1)])
def test_what_cannot_be_exchanged_is_named_and_done_once_it_can(tmp_path, hold):
    # S34
    whole = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    path = write(tmp_path, model=whole)
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    held = hold(net[0].weight)
    status = cp.Checkpoint(model=net).read(path)
    with pytest.raises(
        ValueError, match=r"1 tensor.*: model/0/weight\. .*Delete those references and call"
    ):
        status.run_restore_ops()
    assert [p.is_meta for p in net.parameters()] == [True, False, False, False]
    del held
    with torch.no_grad():
        net[1].bias.fill_(7)  # it has been restored, and belongs to the program since
    status.run_restore_ops()
    assert torch.equal(net[0].weight, whole[0].weight)
    assert net[1].bias.item() == 7


class Embeddings(nn.Module):
    """As those of CLIP: with a buffer that no checkpoint has, around a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(3, 2)
        self.register_buffer("positions", torch.arange(3), persistent=False)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.head = nn.Linear(2, 2)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, Embeddings):
            module.token.weight.data.fill_(5)
            self.head.weight.data.fill_(5)
            module.positions.copy_(torch.arange(3))
        if isinstance(module, nn.Embedding):
            module.weight.data.fill_(3)


def test_what_initializes_a_module_leaves_restored_values_of_others_alone(tmp_path):
    # S35: nothing that was restored is lost
    whole = Model()
    path = write(tmp_path, model=whole)
    with torch.device("meta"):
        net = Model()
    cp.Checkpoint(model=net).read(path).assert_consumed().initialize_or_restore()
    assert torch.equal(net.embeddings.token.weight, whole.embeddings.token.weight)
    assert torch.equal(net.head.weight, whole.head.weight)
    assert net.embeddings.positions.tolist() == [0, 1, 2]


def test_a_modules_own_way_comes_after_those_of_the_modules_within(tmp_path):
    # S35: the order of `self.apply(self._init_weights)`
    path = write(tmp_path, head=nn.Linear(2, 2))
    with torch.device("meta"):
        net = Model()
    net.embeddings.token.reset_parameters = lambda: net.embeddings.token.weight.data.fill_(3)
    status = cp.Checkpoint(head=net.head, model=net).read(path)
    status.initialize_or_restore()
    assert net.embeddings.token.weight.tolist() == [[5, 5]] * 3


def test_what_fails_to_initialize_is_named_and_has_no_contents(tmp_path):
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(2))
            self.v = nn.Parameter(torch.ones(2))

        def reset_parameters(self) -> None:
            nn.init.ones_(self.w)
            raise RuntimeError("no data yet")

    whole = nn.ParameterDict({"v": torch.zeros(2)})
    path = write(tmp_path, model=nn.ModuleDict({"inner": whole}))
    with torch.device("meta"):
        net = nn.ModuleDict({"inner": Failing()})
    status = cp.Checkpoint(model=net).read(path)
    with pytest.raises(ValueError, match=r"model/inner: .*RuntimeError: no data yet"):
        status.initialize_or_restore()
    assert net["inner"].w.is_meta
    assert net["inner"].v.tolist() == [0, 0]


def test_a_tensor_of_no_module_that_nothing_initializes_is_named(tmp_path):
    # S35
    checkpoint = cp.Checkpoint(scale=torch.empty(2, device="meta"))
    with pytest.raises(ValueError, match=r"1 tensor.*: scale\."):
        checkpoint.restore(None).initialize_or_restore()


def test_what_replaced_recorded_parameters_is_not_restored_and_that_is_told(tmp_path, caplog):
    # S34, S23: `to_empty` gives a module new parameters, with memory that is not initialized
    whole = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    path = write(tmp_path, model=whole)
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(net[1].parameters(), lr=0.1)
    status = cp.Checkpoint(model=net, optimizer=optimizer).read(path)
    net[0].to_empty(device="cpu")
    status.run_restore_ops()
    (told,) = [record.message for record in caplog.records]
    assert "2 object(s) were replaced between restore and run: model/0/weight, model/0/bias" in told
    assert torch.equal(net[1].weight, whole[1].weight)
    caplog.clear()
    status.run_restore_ops()
    cp.Checkpoint(model=net).read(path).assert_consumed().run_restore_ops()
    status.initialize_or_restore()
    assert not caplog.records
    assert torch.equal(net[0].weight, whole[0].weight)


def test_what_was_dropped_before_the_run_was_not_replaced(tmp_path, caplog):
    # S34: a head that is not wanted is let go of; nothing is missing from what is left
    path = write(tmp_path, model=nn.ModuleDict({"body": nn.Linear(2, 3), "head": nn.Linear(3, 1)}))
    with torch.device("meta"):
        net = nn.ModuleDict({"body": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
    status = cp.Checkpoint(model=net).read(path).expect_partial()
    del net["head"]
    status.run_restore_ops()
    assert not net["body"].weight.is_meta
    assert not caplog.records


def test_what_is_replaced_after_a_run_was_restored(tmp_path, caplog):
    # S34: `half()` gives a module new buffers, of the contents that were restored
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))

    path = write(tmp_path, model=build())
    with torch.device("meta"):
        net = build()
    status = cp.Checkpoint(model=net).read(path)
    status.run_restore_ops()
    net.half()
    net[2] = nn.Linear(3, 5)
    status.run_restore_ops()
    status.initialize_or_restore()
    assert not caplog.records
