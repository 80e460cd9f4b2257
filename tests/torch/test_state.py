"""Python state: everything with state_dict and load_state_dict, extra state, random state."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

import checkpointable as cp
from checkpointable.adapters.state import decode, encode


class Stateful:
    """A sampler, a data loader, a metric."""

    def __init__(self, state) -> None:
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state) -> None:
        self.state = state


def save(tmp_path, **objects) -> str:
    return cp.Checkpoint(**objects).write(tmp_path / "ckpt")


def read(path: str, **objects) -> None:
    cp.Checkpoint(**objects).read(path).assert_consumed()


STATE = {
    "none": None,
    "numbers": [1, -(2**80), 0.1, float("inf"), True, 1 + 2j],
    "text": "a/b \ud800 é",
    "bytes": b"\x00\xff",
    "tuple": (1, (2, [3])),
    "int keys": {1: "one", (2, 3): "tuple", None: "none"},
    "ordered": OrderedDict([("b", 1), ("a", 2)]),
    "counter": Counter({30: 1, 80: 2}),
    "sets": [{3, 1, 2}, frozenset("ab")],
    "queue": deque([1, 2], maxlen=3),
    "empty": {"list": [], "dict": {}, "tuple": ()},
    "!odd": {"!tuple": 1},
    "tensors": [torch.arange(3), {"x": torch.ones((), dtype=torch.bfloat16)}],
    "dtype and device": [torch.bfloat16, torch.device("cuda:1"), torch.device("cpu")],
    "size": torch.Size([2, 3]),
    "defaults": [defaultdict(int, {"a": 1}), defaultdict(None, {1: 2}), defaultdict(list)],
    "array": np.arange(4, dtype=np.int16).reshape(2, 2),
    "number": np.float64(0.5),
}


def same(one, other) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, defaultdict) and one.default_factory is not other.default_factory:
        return False
    if isinstance(one, dict):
        return [*one] == [*other] and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_state_comes_back_as_the_types_that_it_was(tmp_path):
    path = save(tmp_path, sampler=Stateful(STATE))
    other = Stateful(None)
    read(path, sampler=other)
    assert same(other.state, STATE)
    stored = dict(cp.list_variables(path))
    assert stored["sampler/.ATTRIBUTES/py_state"] == ()
    assert stored["sampler/.ATTRIBUTES/py_state/tensors/0"] == (3,)
    assert stored["sampler/.ATTRIBUTES/py_state/array"] == (2, 2)


def test_the_state_in_the_file_is_json(tmp_path):
    path = save(tmp_path, sampler=Stateful({"epoch": 3, "seen": [1, 2], "order": (1,)}))
    with cp.load_checkpoint(path) as reader:
        stored = reader.get_tensor("sampler/.ATTRIBUTES/py_state")
    assert stored == b'{"epoch":3,"seen":[1,2],"order":{"!tuple":[1]}}'


def test_the_same_state_gives_the_same_bytes():
    # S13; the order of a set is not the same in every process.
    states = [{"s": set(order)} for order in (["a", "b", "c"], ["c", "b", "a"])]
    assert encode(states[0]) == encode(states[1])


class Own(dict):
    pass


class Phase(enum.Enum):
    WARM = "warm"


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"a": {"b": [1, object()]}}, "its state.a.b[1] is a builtins.object"),
        ({"f": len}, "its state.f is a builtins.builtin_function"),
        ({"d": Own()}, "its state.d is a tests.torch.test_state.Own"),
        (
            {"t": torch.zeros(2).to_sparse()},
            "its state.t: the checkpoint format has no tensors of layout",
        ),
        ({"e": Phase.WARM}, "save its value, 'warm'"),
        ({"d": defaultdict(Own)}, "its state.d is a defaultdict of <class"),
        ({"a": np.array([None])}, "its state.a is an array of Python objects"),
    ],
)
def test_another_type_is_an_error_that_names_its_path(tmp_path, state, place):
    program = cp.Checkpoint(loader=Stateful(state))
    with pytest.raises(ValueError, match=r"^loader: ") as error:
        program.write(tmp_path / "ckpt")
    assert place in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_state_that_contains_itself_is_an_error():
    state = {}
    state["self"] = [state]
    with pytest.raises(ValueError, match=r"its state.self\[0\] contains itself"):
        encode(state)
    deep = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deep"):
        encode(deep)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"!no":1}',
        b'{"!tensor":"gone"}',
        b'{"!tuple":3}',
        b'{"!bytes":"*"}',
        b'{"!dtype":"nn"}',
        b'{"!defaultdict":["no",[]]}',
    ],
)
def test_damaged_state_is_told(text):
    with pytest.raises(cp.CheckpointCorruptError):
        decode(text, {})


def test_state_that_is_refused_leaves_every_variable_as_it_was(tmp_path):
    class Refusing(Stateful):
        def load_state_dict(self, state) -> None:
            raise KeyError("epoch")

    net = nn.Linear(1, 1)
    path = save(tmp_path, sampler=Stateful({}), zero=net)
    other = nn.Linear(1, 1)
    before = other.weight.detach().clone()
    with pytest.raises(cp.CheckpointMismatchError, match=r"load_state_dict refused.*KeyError"):
        cp.Checkpoint(sampler=Refusing({}), zero=other).read(path)
    assert torch.equal(other.weight, before)


def optimizer(lr=0.1, momentum=0.9):
    return torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=lr, momentum=momentum)


SCHEDULERS = {
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda epoch: 0.9),
    "StepLR": lambda o: schedulers.StepLR(o, 2),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [2, 4]),
    "ConstantLR": schedulers.ConstantLR,
    "LinearLR": schedulers.LinearLR,
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.9),
    "PolynomialLR": schedulers.PolynomialLR,
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 2),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, step_size_up=3),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=20),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=1),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o, [schedulers.ConstantLR(o), schedulers.ExponentialLR(o, 0.9)], [2]
    ),
    "ChainedScheduler": lambda o: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(o), schedulers.ExponentialLR(o, 0.9)]
    ),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, 0.05, anneal_epochs=4),
}


def run(opt, scheduler, steps: int) -> list[tuple[float, float]]:
    seen = []
    for _ in range(steps):
        opt.param_groups[0]["params"][0].grad = torch.ones(2)
        opt.step()
        if isinstance(scheduler, schedulers.ReduceLROnPlateau):
            scheduler.step(1.0)
        else:
            scheduler.step()
        seen.append((float(opt.param_groups[0]["lr"]), opt.param_groups[0]["momentum"]))
    return seen


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_schedulers_go_on(tmp_path, name, late, kind):
    if name == "CyclicLR" and kind is torch.tensor:
        kind = float  # it refuses a tensor
    make = SCHEDULERS[name]
    opt = optimizer(kind(0.1))
    scheduler = make(opt)
    run(opt, scheduler, 3)
    path = save(tmp_path, optimizer=opt, scheduler=scheduler)
    # The constructor of another program, which made its scheduler before or after the restore.
    other = optimizer(kind(0.3))
    if late:
        checkpoint = cp.Checkpoint(optimizer=other)
        status = checkpoint.read(path)
        lr = float(other.param_groups[0]["lr"])
        again = make(other)
        checkpoint.scheduler = again
        assert float(other.param_groups[0]["lr"]) == lr
        status.assert_consumed()
    else:
        again = make(other)
        read(path, optimizer=other, scheduler=again)
    assert type(other.param_groups[0]["lr"]) is type(opt.param_groups[0]["lr"])
    assert float(other.param_groups[0]["lr"]) == float(opt.param_groups[0]["lr"])
    assert (
        other.param_groups[0]["betas" if "betas" in other.defaults else "momentum"]
        == (opt.param_groups[0]["momentum"])
    )
    assert run(opt, scheduler, 6) == run(other, again, 6)
    assert str(scheduler.state_dict()) == str(again.state_dict())


def test_a_gradient_scaler(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=7)
    path = save(tmp_path, scaler=scaler)
    other = torch.amp.GradScaler("cpu")
    read(path, scaler=other)
    assert other.state_dict() == scaler.state_dict()
    off = torch.amp.GradScaler("cpu", enabled=False)
    read(path, scaler=off)
    path = save(tmp_path, scaler=off)
    with pytest.raises(cp.CheckpointMismatchError, match=r"scaler.*GradScaler"):
        read(path, scaler=other)


def test_averaged_models(tmp_path):
    ema = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 1))
    ema.update_parameters(nn.Linear(2, 1))
    other = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 1))
    read(save(tmp_path, ema=ema), ema=other)
    assert other.n_averaged == 1
    assert torch.equal(other.module.weight, ema.module.weight)


def test_random_state(tmp_path):
    generator = torch.Generator().manual_seed(5)
    random = cp.torch.RandomState()
    path = save(tmp_path, rng=random, data=cp.torch.RandomState(generator))
    expected = torch.rand(3), torch.rand(3, generator=generator)
    other = torch.Generator()
    read(path, rng=cp.torch.RandomState(), data=cp.torch.RandomState(other))
    assert torch.equal(torch.rand(3), expected[0])
    assert torch.equal(torch.rand(3, generator=other), expected[1])
    with pytest.raises(cp.CheckpointMismatchError, match="one generator"):
        read(path, data=cp.torch.RandomState(), rng=cp.torch.RandomState())


class WithExtra(nn.Linear):
    extra = None

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state) -> None:
        self.extra = state


@pytest.mark.parametrize("extra", [None, {"version": (1, 2)}, torch.arange(3), [torch.ones(1)]])
def test_extra_state(tmp_path, extra):
    net = nn.Sequential(WithExtra(1, 1))
    net[0].extra = extra
    other = nn.Sequential(WithExtra(1, 1))
    other[0].extra = "another"
    path = save(tmp_path, model=net)
    assert "model/0/.ATTRIBUTES/py_state" in dict(cp.list_variables(path))
    read(path, model=other)
    assert same(other[0].extra, extra)
    assert torch.equal(other[0].weight, net[0].weight)


class Metric(nn.Module):
    """State that is neither parameter nor buffer, as torchmetrics has it."""

    def __init__(self) -> None:
        super().__init__()
        self.total = torch.zeros(())
        self.values: list[torch.Tensor] = []

    def _save_to_state_dict(self, destination, prefix, keep_vars) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "total"] = self.total
        destination[prefix + "values"] = self.values

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        self.total = state_dict.pop(prefix + "total")
        self.values = state_dict.pop(prefix + "values")
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_a_module_that_adds_to_its_state_dict(tmp_path):
    metric, other = Metric(), Metric()
    metric.total = torch.tensor(3.0)
    metric.values = [torch.ones(2)]
    read(save(tmp_path, metric=nn.ModuleDict({"a": metric})), metric=nn.ModuleDict({"a": other}))
    assert other.total == 3
    assert same(other.values, metric.values)


class ByKeywords(nn.Linear):
    """Adds to its state dict, and takes that in its own `load_state_dict`."""

    def __init__(self, extra: int = 0) -> None:
        super().__init__(2, 2)
        self.extra = extra

    def state_dict(self, *args, **options):
        prefix = options.get("prefix", "")
        return {**super().state_dict(*args, **options), f"{prefix}extra": self.extra}

    def load_state_dict(self, state_dict, strict=True):
        self.extra = state_dict.pop("extra")
        return super().load_state_dict(state_dict, strict)


class OfItsOwn(nn.Module):
    """Has a state dict of its own form, and no use for PyTorch's arguments."""

    def __init__(self, extra: int = 0) -> None:
        super().__init__()
        self.net = nn.Linear(2, 2)
        self.register_buffer("mean", torch.rand(2))
        self.extra = extra

    def state_dict(self):
        mean = self.mean.detach()
        return {"weights": self.net.state_dict(), "average": mean, "extra": self.extra}

    def load_state_dict(self, state):
        self.net.load_state_dict(state["weights"])
        self.mean.copy_(state["average"])
        self.extra = state["extra"]


@pytest.mark.parametrize("make", [ByKeywords, OfItsOwn])
@pytest.mark.parametrize("late", [False, True])
def test_a_module_takes_what_it_adds_by_its_own_load_state_dict(tmp_path, make, late):
    # S8: nothing that was saved is lost without a word
    whole, other = make(3), make()
    path = cp.Checkpoint(model=nn.ModuleDict({"it": whole})).write(tmp_path / "ckpt")
    net = nn.ModuleDict({} if late else {"it": other})
    status = cp.Checkpoint(model=net).read(path)
    if late:
        net["it"] = other
    status.assert_consumed()
    assert other.extra == 3
    for one, two in zip(whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    for one, two in zip(whole.buffers(), other.buffers(), strict=True):
        assert torch.equal(one, two)
    # What is there anyway is no state of the module beside, whatever it is called.
    assert "model/it/.ATTRIBUTES/py_state/average" not in dict(cp.list_variables(path))
