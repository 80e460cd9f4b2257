"""Modules that add to their state dict and take it back by their own rules, as bitsandbytes' do.

PyTorch's strict load of the same state dict stands beside each case.
"""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

import checkpointable as cp


class Scaled(nn.Linear):
    """Takes its scale back through the unexpected keys, as Linear8bitLt does."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(2, 2)
        self.scale = torch.tensor([scale])

    def _save_to_state_dict(self, destination, prefix, keep_vars) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}scale"] = self.scale

    def _load_from_state_dict(self, state, prefix, metadata, strict, missing, unexpected, errors):
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)
        for key in list(unexpected):
            if key == f"{prefix}scale":
                self.scale.copy_(state[key])
                unexpected.remove(key)


class Forgetful(Scaled):
    """Never takes it back, as Linear4bit does with its quantization state."""

    _load_from_state_dict = nn.Linear._load_from_state_dict


class Demanding(Scaled):
    """Expects a key that an earlier version of it did not save."""

    def _save_to_state_dict(self, destination, prefix, keep_vars) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if type(self) is Demanding:
            destination[f"{prefix}zero"] = torch.zeros(1)

    def _load_from_state_dict(self, state, prefix, metadata, strict, missing, unexpected, errors):
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)
        if strict and f"{prefix}zero" not in state:
            missing.append(f"{prefix}zero")
        unexpected[:] = [key for key in unexpected if key != f"{prefix}zero"]


class Earlier(Demanding):
    pass


class Versioned(Scaled):
    """Reads its entries by the version of its class, as packed weights do."""

    _version = 3

    def _load_from_state_dict(self, state, prefix, metadata, strict, missing, unexpected, errors):
        if metadata.get("version") != 3:
            errors.append("an unknown version")
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)


class TakenByHook(Forgetful):
    """Takes it back in a hook after the load."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(scale)
        self.taken = False
        self.register_load_state_dict_post_hook(self._take)

    @staticmethod
    def _take(module, keys) -> None:
        module.taken = True
        keys.unexpected_keys[:] = [key for key in keys.unexpected_keys if "scale" not in key]


class Lenient(nn.Linear):
    """Its own `load_state_dict` reports what it leaves and does not raise."""

    def state_dict(self, *args, **options):
        prefix = options.get("prefix", "")
        return {**super().state_dict(*args, **options), f"{prefix}extra": 1}

    def load_state_dict(self, state_dict, strict=False):
        return super().load_state_dict(state_dict, strict=False)


def saved(tmp_path, module: nn.Module) -> str:
    return cp.Checkpoint(net=nn.ModuleList([module])).write(tmp_path / "ckpt")


def restore(path: str, module: nn.Module) -> None:
    cp.Checkpoint(net=nn.ModuleList([module])).read(path).assert_consumed()


@pytest.mark.parametrize("make", [Scaled, Versioned])
def test_what_comes_back_through_unexpected_keys(tmp_path, make):
    one, two, native = make(3.0), make(), make()
    native.load_state_dict(one.state_dict(), strict=True)
    restore(saved(tmp_path, one), two)
    assert two.scale == native.scale == 3
    assert torch.equal(two.weight, one.weight)
    assert torch.equal(two.bias, one.bias)


def test_an_entry_that_the_module_never_takes(tmp_path):
    path = saved(tmp_path, Forgetful(3.0))
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "scale"'):
        Forgetful().load_state_dict(Forgetful(3.0).state_dict(), strict=True)
    with pytest.raises(
        cp.CheckpointMismatchError, match="does not take the keys: 'scale'"
    ) as error:
        restore(path, Forgetful())
    assert "net/0" in str(error.value)


def test_a_key_that_the_checkpoint_lacks(tmp_path):
    one, two = Earlier(3.0), Demanding()
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "zero"'):
        two.load_state_dict(one.state_dict(), strict=True)
    with pytest.raises(cp.CheckpointMismatchError, match="checkpoint lacks: 'zero'"):
        restore(saved(tmp_path, one), two)


def test_a_hook_after_the_load_takes_an_entry(tmp_path):
    one, two, native = TakenByHook(3.0), TakenByHook(), TakenByHook()
    native.load_state_dict(one.state_dict(), strict=True)
    restore(saved(tmp_path, one), two)
    assert two.taken
    assert native.taken


def test_the_result_of_an_overridden_load_state_dict_counts(tmp_path):
    with pytest.raises(cp.CheckpointMismatchError, match="does not take the keys: 'extra'"):
        restore(saved(tmp_path, Lenient(2, 2)), Lenient(2, 2))


class NeedsMetadata:
    """Has the state of a TensorDict, which is not taken without its `_metadata`."""

    def __init__(self, value: float) -> None:
        self.value = torch.tensor(value)
        self.module = nn.BatchNorm1d(2)

    def state_dict(self):
        state = OrderedDict(value=self.value, module=self.module.state_dict())
        state._metadata = OrderedDict({"": {"batch_size": torch.Size([]), "tensor": self.value}})
        return state

    def load_state_dict(self, state) -> None:
        assert type(state) is OrderedDict
        assert state._metadata[""] == {"batch_size": torch.Size([]), "tensor": state["value"]}
        assert state["module"]._metadata == self.module.state_dict()._metadata
        self.module.load_state_dict(state["module"], strict=True)
        self.value = state["value"]


def test_attributes_of_an_ordered_dict_come_back(tmp_path):
    one, two = NeedsMetadata(3.0), NeedsMetadata(0.0)
    path = cp.Checkpoint(state=one).write(tmp_path / "ckpt")
    cp.Checkpoint(state=two).read(path).assert_consumed()
    assert two.value == 3
