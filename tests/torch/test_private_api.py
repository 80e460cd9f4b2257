"""Each private name of the installed PyTorch, and the fallback in a version without it."""

from __future__ import annotations

import gc
import importlib
import weakref

import pytest
import torch
from torch import nn
from torch.nn.modules import module as modules
from torch.utils import hooks

from checkpointable.adapters.torch import private_api as private
from checkpointable.adapters.torch.modules.wrapper_classes import SHARDED_MODULES, WRAPPED_MODULES
from checkpointable.graph.value import Value


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.tied = self.weight
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("cache", torch.zeros(2), persistent=False)
        self.inner = nn.Linear(2, 2)
        self.again = self.inner


class Missing:
    """A module without some private names, as a later version of PyTorch may have it."""

    def __init__(self, module: nn.Module, *names: str) -> None:
        self._module = module
        self._missing = names

    def __getattr__(self, name: str):
        if name in self._missing:
            raise AttributeError(name)
        return getattr(self._module, name)


# Each of these is asked of the module, and of one without the name.
TABLES = {
    "_parameters": (private.registered_parameters, ["tied", "weight"]),
    "_buffers": (private.registered_buffers, ["cache", "mean"]),
    "_modules": (private.registered_modules, ["again", "inner"]),
    "_non_persistent_buffers_set": (private.non_persistent_buffers, ["cache"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_is_registered_on_a_module(name):
    net = Net()
    ask, expected = TABLES[name]
    assert getattr(net, name) is ask(net)
    assert sorted(ask(net)) == expected
    without = ask(Missing(net, name))
    assert sorted(without) == expected
    if isinstance(without, dict):
        assert all(without[key] is ask(net)[key] for key in expected)


def test_a_registered_tensor_is_replaced_without_hooks():
    net, called = Net(), []
    handles = [
        modules.register_module_parameter_registration_hook(lambda *_: called.append(1)),
        modules.register_module_buffer_registration_hook(lambda *_: called.append(1)),
    ]
    weight, mean = nn.Parameter(torch.zeros(2)), torch.ones(2)
    try:
        private.replace_registered(net, "weight", weight)
        private.replace_registered(net, "mean", mean)
    finally:
        for handle in handles:
            handle.remove()
    assert not called
    assert net.weight is weight
    assert net.mean is mean
    assert dict(net.named_buffers())["mean"] is mean


def test_a_registered_tensor_is_assigned_where_there_are_no_tables():
    class Plain:
        weight = None

    plain, tensor = Plain(), torch.ones(2)
    private.replace_registered(plain, "weight", tensor)
    assert plain.weight is tensor


def test_the_key_of_extra_state():
    assert modules._EXTRA_STATE_KEY_SUFFIX == private.EXTRA_STATE_KEY

    class Extra(nn.Linear):
        def get_extra_state(self):
            return 7

    assert Extra(1, 1).state_dict()[private.EXTRA_STATE_KEY] == 7


def test_hooks_that_add_to_a_state_dict():
    net = Net()
    assert not private.has_state_dict_hooks(net)
    handle = net.register_state_dict_post_hook(lambda *_: None)
    assert private.has_state_dict_hooks(net)
    handle.remove()
    assert not private.has_state_dict_hooks(net)
    assert private.has_state_dict_hooks(Missing(net, "_state_dict_hooks"))


class Packed(nn.Module):
    """Writes and reads its own part of a state dict, as packed weights do."""

    def __init__(self, packed: int) -> None:
        super().__init__()
        self.packed = packed
        self.inner = nn.Linear(1, 1)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "packed"] = self.packed

    def _load_from_state_dict(self, state, prefix, metadata, strict, missing, unexpected, errors):
        if state[prefix + "packed"] < 0:
            errors.append("packed is negative")
        self.packed = state[prefix + "packed"]


def test_the_part_of_a_state_dict_that_a_module_writes_itself(monkeypatch):
    assert private.overrides_module_state(Packed)
    assert not private.overrides_module_state(nn.Linear)
    monkeypatch.delattr(nn.Module, "_save_to_state_dict")
    assert not private.overrides_module_state(nn.Linear)


@pytest.mark.parametrize("missing", [(), ("_save_to_state_dict",)])
def test_a_modules_part_of_a_state_dict(missing):
    assert private.module_state(Missing(Packed(3), *missing)) == {"packed": 3}
    assert set(private.module_state(Missing(Net(), *missing))) == {"weight", "tied", "mean"}


@pytest.mark.parametrize("missing", [(), ("_load_from_state_dict",)])
def test_a_modules_part_of_a_state_dict_is_loaded(missing):
    packed = Packed(3)
    inner = {f"inner.{name}": tensor for name, tensor in packed.inner.state_dict().items()}
    state = {"packed": 4, **(inner if missing else {})}
    assert private.load_module_state(Missing(packed, *missing), state) == (([], []), [])
    assert packed.packed == 4


@pytest.mark.parametrize("missing", [(), ("_load_from_state_dict",)])
def test_the_keys_that_a_module_misses_or_does_not_take(missing):
    keys, errors = private.load_module_state(
        Missing(Net(), *missing), {"weight": torch.ones(2), "x": 1}
    )
    assert sorted(keys.missing_keys) == ["mean", "tied"]
    assert keys.unexpected_keys == ["x"]
    assert not errors


def test_post_hooks_get_the_keys_and_may_change_them():
    net = Net()
    net.register_load_state_dict_post_hook(lambda _, keys: keys.unexpected_keys.clear())
    keys, _ = private.load_module_state(net, {**net.state_dict(), "x": 1})
    assert keys == ([], [])


def test_what_a_module_does_not_load_is_told():
    assert private.load_module_state(Packed(3), {"packed": -1})[1] == ["packed is negative"]
    with pytest.raises(RuntimeError, match="packed is negative"):
        private.load_module_state(Missing(Packed(3), "_load_from_state_dict"), {"packed": -1})


def test_the_methods_that_initialize():
    assert hasattr(nn.Linear, private.RESET_METHODS[0])
    for cls in (nn.Transformer, nn.MultiheadAttention):
        assert hasattr(cls, private.RESET_METHODS[1])


def named(path: str) -> type:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_wrappers_are_known_by_name_and_hold_the_module_under_it():
    from torch.distributed.algorithms._checkpoint import checkpoint_wrapper

    inner = nn.Linear(1, 1)
    wrappers = {
        "OptimizedModule": torch.compile(inner),
        "DataParallel": nn.DataParallel(inner),
        "ActivationWrapper": checkpoint_wrapper.checkpoint_wrapper(inner),
    }
    for path, name in WRAPPED_MODULES.items():
        if path.startswith("lightning"):  # test_wrappers.py has a class of that name
            continue
        cls = named(path)
        assert issubclass(cls, nn.Module)
        if cls.__name__ == "DistributedDataParallel":  # needs a group of processes
            continue
        wrapper = wrappers[cls.__name__]
        assert isinstance(wrapper, cls)
        assert wrapper._modules[name] is inner


def test_modules_with_shards_are_known_by_name():
    from torch.distributed.fsdp import FullyShardedDataParallel

    assert [named(path) for path in SHARDED_MODULES] == [FullyShardedDataParallel]


def test_recurrent_modules_refer_weakly_to_their_parameters(monkeypatch):
    lstm = nn.LSTM(2, 3)
    assert [one() for one in lstm._flat_weight_refs] == list(lstm.parameters())
    called = []
    monkeypatch.setattr(lstm, "flatten_parameters", lambda: called.append(1))
    with private.without_weak_references([lstm]):
        assert not any(weakref.getweakrefs(one) for one in lstm.parameters())
    assert called
    assert [one() for one in lstm._flat_weight_refs] == list(lstm.parameters())


def test_a_recurrent_module_still_sees_that_a_parameter_was_replaced():
    lstm, x = nn.LSTM(2, 3), torch.ones(1, 1, 2)
    del lstm.weight_ih_l0
    lstm.weight_ih_l0 = nn.Parameter(torch.zeros(12, 2))
    with private.without_weak_references([lstm]):
        pass
    lstm(x)
    assert lstm._flat_weights[0] is lstm.weight_ih_l0


def test_recurrent_modules_without_weak_references():
    class Recurrent:
        refreshed = False

        def flatten_parameters(self) -> None:
            self.refreshed = True

    recurrent = Recurrent()
    with private.without_weak_references([recurrent]):
        assert not recurrent.__dict__
    assert recurrent.refreshed


class Special(torch.Tensor):
    pass


class SpecialParameter(nn.Parameter):
    pass


@pytest.mark.parametrize("cls", [nn.Parameter, SpecialParameter, Special])
@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("missing", [False, True])
def test_a_tensor_of_a_class_on_the_memory_of_another(monkeypatch, cls, requires_grad, missing):
    source = torch.ones(2)
    if missing:
        make = staticmethod(torch.Tensor._make_subclass)
        monkeypatch.setattr(torch.Tensor, "_make_subclass", None)
        if cls is nn.Parameter:  # its constructor would need the same name
            monkeypatch.setattr(nn.Parameter, "__new__", make)
    made = private.make_subclass(cls, source, requires_grad)
    assert type(made) is cls
    assert made.requires_grad is requires_grad
    assert made.is_leaf
    assert made.data_ptr() == source.data_ptr()


def test_tensors_that_hold_other_tensors():
    from torch.testing._internal.two_tensor import TwoTensor
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass_type

    assert private.is_wrapper_subclass(TwoTensor)
    assert is_traceable_wrapper_subclass_type(TwoTensor)
    for cls in (torch.Tensor, nn.Parameter, Special):
        assert not private.is_wrapper_subclass(cls)


def test_the_last_hook_of_a_table():
    table: dict[int, object] = hooks.OrderedDict()
    first, last = hooks.RemovableHandle(table), hooks.RemovableHandle(table)
    table[first.id], table[last.id] = print, print
    assert not private.is_last_hook(first)
    assert private.is_last_hook(last)
    last.remove()
    assert private.is_last_hook(first)
    del table
    gc.collect()
    assert private.is_last_hook(first)
    assert not private.is_last_hook(object())


def test_the_schedulers_within_a_scheduler():
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    inner = [torch.optim.lr_scheduler.ConstantLR(optimizer) for _ in range(2)]
    one_after_another = torch.optim.lr_scheduler.SequentialLR(optimizer, inner, milestones=[3])
    assert list(private.inner_schedulers(one_after_another)) == inner
    assert list(private.inner_schedulers(torch.optim.lr_scheduler.ChainedScheduler(inner))) == inner
    assert list(private.inner_schedulers(inner[0])) == []


def test_no_private_name_of_pytorch_is_used_elsewhere():
    """Names after a dot that begin with one underscore, of objects other than `self`."""
    import ast
    from pathlib import Path

    root = Path(private.__file__).parent
    ours = {name for name in vars(Value) if name.startswith("_")}
    used = []
    for path in sorted(root.rglob("*.py")):
        if path.name == "private_api.py":
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
                continue
            of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not of_self and not node.attr.startswith("__") and node.attr not in ours:
                used.append(f"{path.relative_to(root)}:{node.lineno}: {node.attr}")
    assert used == []
