"""Tensors of every dtype and layout: filled in place, or refused before anything is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import checkpointable as cp
from checkpointable.adapters.torch.tensors import arrays, staged_copies
from checkpointable.adapters.torch.tensors.tensors import TensorValue

DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint16, torch.uint32, torch.uint64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.complex64, torch.complex128),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
]
SHAPES = [(), (0,), (3, 0, 2), (7,), (3, 5)]


def random(dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor of random bits, of numbers where bits may not be any."""
    if dtype is torch.bool:
        return torch.randint(2, shape).bool()
    if dtype.is_complex:
        return torch.randn(shape, dtype=dtype)
    width = torch.empty((), dtype=dtype).element_size()
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[width]
    return torch.randint(0, 100, shape, dtype=bits).view(dtype)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def write(tmp_path, **tensors) -> str:
    return cp.Checkpoint(**tensors).write(tmp_path / "ckpt")


def read(path: str, **tensors) -> None:
    cp.Checkpoint(**tensors).read(path).assert_consumed()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("place", ["shared", "device"])
def test_every_dtype_and_shape(tmp_path, monkeypatch, dtype, shape, place):
    if place == "device":
        _without_shared_memory(monkeypatch)
    tensor = random(dtype, shape)
    other = torch.zeros(shape, dtype=dtype)
    address, version = other.data_ptr(), other._version
    read(write(tmp_path, t=tensor), t=other)
    assert bits(other) == bits(tensor)
    assert other.data_ptr() == address
    assert other._version > version or not other.numel()


def _without_shared_memory(monkeypatch) -> None:
    """Makes the code believe that tensors lie on a device: they go through staged memory."""
    stages = []

    def stage(dtype, count):
        stages.append(count)
        return torch.empty(count, dtype=dtype)

    monkeypatch.setattr(
        "checkpointable.adapters.torch.tensors.tensors.shared_array", lambda *_: None
    )
    monkeypatch.setattr(
        "checkpointable.adapters.torch.tensors.tensors.host_array",
        lambda tensor, kind: arrays.shared_array(staged_copies.from_device(tensor.detach()), kind),
    )
    monkeypatch.setattr(
        "checkpointable.adapters.torch.tensors.tensors.fill",
        lambda tensor, array: staged_copies.to_device(tensor.detach(), arrays.as_tensor(array)),
    )
    monkeypatch.setattr(staged_copies, "_stage", stage)


def test_a_large_tensor_goes_to_a_device_in_portions(tmp_path, monkeypatch):
    _without_shared_memory(monkeypatch)
    monkeypatch.setattr(staged_copies, "_STAGE_SIZE", 64)
    tensor = torch.randn(10, 7)
    other = torch.zeros(7, 10).t()
    read(write(tmp_path, t=tensor), t=other)
    assert torch.equal(other, tensor)
    assert other.stride() == (1, 10)


def test_a_large_tensor_comes_from_a_device_in_portions(monkeypatch):
    counts = []
    real = staged_copies._stage
    monkeypatch.setattr(
        staged_copies, "_stage", lambda dtype, n: counts.append(n) or real(dtype, n)
    )
    monkeypatch.setattr(staged_copies, "_STAGE_SIZE", 64)
    tensor = torch.randn(9, 7).t()
    assert torch.equal(staged_copies.from_device(tensor), tensor)
    assert counts == [16]  # pinned memory is scarce, and is not held beyond the copy


def test_where_no_memory_can_be_pinned_the_copy_is_slower(monkeypatch):
    empty = torch.empty

    def refuse(*args, pin_memory=False, **kwargs):
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return empty(*args, **kwargs)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", refuse)
    tensor = torch.arange(5)
    assert torch.equal(staged_copies.from_device(tensor), tensor)


LAYOUTS = {
    "transposed": lambda: torch.randn(4, 3).t(),
    "strided": lambda: torch.randn(6, 10)[::2, 1::3],
    "channels_last": lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "view": lambda: torch.randn(20)[3:15].view(3, 4),
    "negative": lambda: torch.randn(5, dtype=torch.complex64).conj().imag,
    "conjugated": lambda: torch.randn(5, dtype=torch.complex64).conj(),
    "bfloat16": lambda: torch.randn(4, 6).bfloat16()[:, ::2],
    "float8": lambda: torch.randn(4, 6).to(torch.float8_e5m2).t(),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_memory_keeps_its_layout(tmp_path, name):
    one, other = LAYOUTS[name](), LAYOUTS[name]()
    stride, address = other.stride(), other.data_ptr()
    read(write(tmp_path, t=one), t=other)
    assert bits(other.resolve_conj().resolve_neg()) == bits(one.resolve_conj().resolve_neg())
    assert (other.stride(), other.data_ptr()) == (stride, address)


def test_what_lies_beside_a_view_is_left_alone(tmp_path):
    base = torch.zeros(10)
    read(write(tmp_path, t=torch.arange(3.0)), t=base[2:8:2])
    assert base.tolist() == [0, 0, 0, 0, 1, 0, 2, 0, 0, 0]


def test_an_expanded_tensor(tmp_path):
    same, different = torch.ones(3, 2), torch.arange(6.0).view(3, 2)
    expanded = torch.zeros(2).expand(3, 2)
    read(write(tmp_path, t=same), t=expanded)
    assert torch.equal(expanded, same)
    with pytest.raises(cp.CheckpointMismatchError, match="share memory"):
        read(write(tmp_path, t=different), t=expanded)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_restoring_in_every_mode_of_autograd(tmp_path, mode):
    path = write(tmp_path, net=nn.Linear(2, 2))
    net = nn.Linear(2, 2)
    net.bias.requires_grad_(False)
    with mode():
        read(path, net=net)
        again = write(tmp_path, net=net)
    assert net.weight.requires_grad
    assert net.weight.is_leaf
    assert not net.weight.is_inference()
    assert not net.bias.requires_grad
    net(torch.ones(1, 2)).sum().backward()
    assert net.weight.grad is not None
    read(again, net=nn.Linear(2, 2))


@pytest.mark.parametrize("make", ["Adam", "LBFGS", "NAdam", "ASGD"])
def test_what_a_restore_makes_in_inference_mode_is_trained_outside_of_it(tmp_path, make):
    def program(width):
        net = nn.Sequential(nn.Linear(2, 3) if width else nn.LazyLinear(3))
        lr = torch.tensor(0.1) if make == "Adam" else 0.1
        options = {"foreach": False} if make == "Adam" else {}
        return net, getattr(torch.optim, make)(net.parameters(), lr=lr, **options)

    def train(net, optimizer):
        def closure():
            optimizer.zero_grad()
            loss = net(torch.ones(4, 2)).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)

    net, optimizer = program(2)
    train(net, optimizer)
    path = write(tmp_path, net=net, opt=optimizer)
    again, other = program(2 if make == "LBFGS" else None)  # LBFGS must know the sizes
    if make == "Adam":
        del other.param_groups[0]["lr"]  # is made anew
    with torch.inference_mode():
        read(path, net=again, opt=other)
    train(again, other)
    train(net, optimizer)
    assert torch.equal(again[0].weight, net[0].weight)


def test_state_that_is_restored_in_inference_mode_is_no_inference_tensor(tmp_path):
    class Average:
        def __init__(self, value):
            self.value = value

        def state_dict(self):
            return vars(self)

        def load_state_dict(self, state):
            vars(self).update(state)

    path = write(tmp_path, average=Average(torch.ones(2)))
    average = Average(None)
    with torch.inference_mode():
        read(path, average=average)
    average.value += 1
    assert average.value.tolist() == [2, 2]


def test_an_inference_tensor(tmp_path):
    path = write(tmp_path, t=torch.arange(3.0), c=torch.ones(2, dtype=torch.complex64))
    with torch.inference_mode():
        tensor, conjugated = torch.zeros(3), torch.zeros(2, dtype=torch.complex64).conj()
    read(path, t=tensor, c=conjugated)
    assert tensor.tolist() == [0, 1, 2]
    assert torch.equal(conjugated, torch.ones(2, dtype=torch.complex64))


def test_autograd_is_told(tmp_path):
    weight = nn.Parameter(torch.ones(2))
    path = write(tmp_path, w=nn.Parameter(torch.zeros(2)))
    loss = weight.square().sum()
    read(path, w=weight)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


class Wrapper(torch.Tensor):
    def __tensor_flatten__(self):
        return [], None


def fake() -> torch.Tensor:
    with FakeTensorMode():
        return torch.ones(2)


@pytest.mark.filterwarnings("ignore:.*(quantiz|prototype stage|Nested|beta state|ComplexHalf).*")
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: torch.eye(2).to_sparse(), "layout torch.sparse_coo"),
        (lambda: torch.eye(2).to_sparse_csr(), "layout torch.sparse_csr"),
        (lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]), "nested"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantized"),
        (lambda: torch.zeros(2, dtype=torch.complex32), "complex32"),
        (lambda: torch.zeros(2).to(torch.float8_e8m0fnu), "float8_e8m0fnu"),
        (lambda: torch.ones(2).as_subclass(Wrapper), "Wrapper"),
        (lambda: torch.ones(2, device="meta"), "meta device"),
        (fake, "FakeTensor has no memory"),
    ],
    ids=["coo", "csr", "nested", "quantized", "complex32", "e8m0fnu", "wrapper", "meta", "fake"],
)
def test_what_has_no_place_is_refused_by_path_before_anything_is_written(tmp_path, make, what):
    net = nn.Module()
    net.ok = nn.Linear(300, 300)
    net.register_buffer("odd", make())
    with pytest.raises((NotImplementedError, ValueError), match=r"model/odd: ") as error:
        cp.Checkpoint(model=net).save(tmp_path / "new" / "ckpt")
    assert what in str(error.value)
    assert not (tmp_path / "new").exists()


def test_a_restore_refuses_it_too(tmp_path):
    path = write(tmp_path, a=torch.ones(2), b=torch.ones(2))
    first = torch.zeros(2)
    with pytest.raises(NotImplementedError, match=r"^b: .*layout"):
        read(path, a=first, b=torch.ones(2).to_sparse())
    assert first.tolist() == [0, 0]


def test_a_tensor_subclass_keeps_its_class(tmp_path):
    class Own(torch.Tensor):
        pass

    tensor = torch.zeros(2).as_subclass(Own)
    read(write(tmp_path, t=torch.ones(2)), t=tensor)
    assert type(tensor) is Own
    assert tensor.tolist() == [1, 1]


def test_tensors_and_variables_read_each_others_values(tmp_path):
    variable = cp.Variable(np.arange(3, dtype=np.float32))
    path = write(tmp_path, t=torch.full((3,), 7.0))
    read(path, t=variable)
    assert variable.numpy().tolist() == [7, 7, 7]
    tensor = torch.zeros(3, dtype=torch.bfloat16)
    read(write(tmp_path, t=cp.Variable([1, 2, 3], dtype="bfloat16")), t=tensor)
    assert tensor.tolist() == [1, 2, 3]


def test_a_checkpoint_number_may_be_a_tensor(tmp_path):
    saver = cp.CheckpointableSaver(cp.Checkpoint(t=torch.ones(1)))
    assert saver.save(tmp_path / "ckpt", torch.tensor(12)).endswith("ckpt-12")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shared_memory_equals_the_plain_way(layout):
    tensor = LAYOUTS[layout]()
    value = TensorValue(tensor)
    plain = tensor.resolve_conj().resolve_neg().float() if tensor.dtype.itemsize < 4 else tensor
    read_back = np.asarray(value.read())
    expected = plain.resolve_conj().resolve_neg().numpy()
    assert np.array_equal(read_back.astype(expected.dtype), expected)


def test_a_lazy_parameter_cannot_be_saved_by_name(tmp_path):
    layer = torch.nn.LazyLinear(2)
    saver = cp.Saver({"weight": layer.weight})
    with pytest.raises(ValueError, match=r"^weight: the variable is not initialized"):
        saver.save(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
