"""The slots of an optimizer: what `optimizer.state[parameter]` holds under each name."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from checkpointable.adapters.notes import Beside
from checkpointable.adapters.state.values import StateValues
from checkpointable.adapters.torch.optimizers.stand_ins import StandIn
from checkpointable.adapters.torch.tensors.arrays import as_tensor
from checkpointable.adapters.torch.tensors.dtypes import torch_dtype
from checkpointable.adapters.torch.tensors.tensors import value_of
from checkpointable.common.logs import logger
from checkpointable.graph.adapter import Slots
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.value import Value, ValueFactory

__all__ = ["OptimizerSlots", "StateSlot", "parameters_of"]

Array = np.ndarray[Any, np.dtype[Any]]


def parameters_of(optimizer: Any) -> list[torch.Tensor]:
    """The parameters in its groups, in order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


class OptimizerSlots(Slots):
    """The slots of one optimizer; state of parameters that are in no group is none."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self._groups = {
            id(parameter): group
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        self._parameters = parameters_of(optimizer)

    def variables(self) -> Iterable[Any] | None:
        return self._parameters

    def names(self) -> Iterable[str]:
        state = self._optimizer.state
        _warn_of_strays(self._optimizer, self._groups)
        names: dict[Any, None] = {}
        for parameter in self._parameters:
            if parameter in state:
                names.update(dict.fromkeys(state[parameter]))
        wrong = [name for name in names if not isinstance(name, (str, int))]
        if wrong:
            raise NotImplementedError(
                f"{type(self._optimizer).__name__} keeps state of a parameter under "
                f"{wrong[0]!r}, which is neither a name nor a number"
            )
        return list(dict.fromkeys(map(_name_of, names)))

    def get(self, variable: Any, slot_name: str) -> Any | None:
        state = self._optimizer.state
        if id(variable) not in self._groups or variable not in state:
            return None
        own = state[variable]
        key = _key_of(slot_name)
        if key not in own:
            return None
        slot = own[key]
        place = (id(variable), key)
        if isinstance(slot, torch.Tensor) and self._holders.get(id(slot), place) == place:
            return slot
        return _state_slots.of(self._optimizer).of(variable, slot_name)

    @functools.cached_property
    def _holders(self) -> dict[int, tuple[int, Any]]:
        """id of a tensor -> the parameter and name that it is the slot of, the first if several.

        Some optimizers have one tensor in the state of all parameters (tables of 8-bit optimizers,
        say). The others get a copy of it in the checkpoint.
        """
        holders: dict[int, tuple[int, Any]] = {}
        state = self._optimizer.state
        for parameter in self._parameters:
            if parameter in state:
                for key, slot in state[parameter].items():
                    if isinstance(slot, torch.Tensor):
                        holders.setdefault(id(slot), (id(parameter), key))
        return holders

    def create(self, variable: Any, slot_name: str, contents: Array) -> Any | None:
        raise AssertionError("slots are made by reserve and keep")

    def reserve(
        self, variable: Any, slot_name: str, dtype: np.dtype[Any] | None, shape: tuple[int, ...]
    ) -> tuple[Any, Mapping[str, Value | ValueFactory]] | None:
        group = self._groups.get(id(variable))
        if group is None:
            return None
        if dtype is None:
            slot = _state_slots.of(self._optimizer).of(variable, slot_name)
            return slot, slot.values()
        stored = torch_dtype(dtype)
        if stored is None:
            return None
        if not shape and stored.is_floating_point and slot_name in _SCALARS:
            scalar = _empty((), _scalar_dtype(group), self._device(slot_name, variable, group))
            if scalar.dtype != stored:
                return scalar, {VARIABLE_VALUE: _Converted(scalar, dtype)}
            return scalar, {VARIABLE_VALUE: value_of(scalar)}
        made = _like(variable, shape, stored)
        return made, {VARIABLE_VALUE: value_of(made)}

    def _device(self, slot_name: str, variable: Any, group: dict[str, Any]) -> Any:
        """Where the optimizer would keep such a scalar: with the host, unless a step runs there
        where the parameter is.
        """
        on_device = group.get("capturable") or group.get("fused") or slot_name in _BESIDE
        if on_device or isinstance(self._optimizer, torch.optim.ASGD):
            return variable.device
        return "cpu"

    def keep(self, variable: Any, slot_name: str, slot: Any) -> None:
        if isinstance(slot, torch.Tensor):
            state_of(self._optimizer, variable)[_key_of(slot_name)] = slot


def _warn_of_strays(optimizer: Any, known: dict[int, Any]) -> None:
    """Says, once, that an optimizer has state that belongs to none of its parameters."""
    told = _told_of.of(optimizer)
    if told or not optimizer.state:
        return
    strays = sum(isinstance(one, torch.Tensor) and id(one) not in known for one in optimizer.state)
    if strays:
        told.append(strays)
        logger.warning(
            "%s has state for %d tensor(s) that are in none of its groups: it is not saved "
            "(its own state_dict() fails for them)",
            type(optimizer).__name__,
            strays,
        )


_told_of: Beside[list[int]] = Beside(lambda _: [])


def state_of(optimizer: Any, parameter: Any) -> Any:
    """The state of one parameter, empty if it has none yet."""
    # Some third parties' is a plain dict.
    return optimizer.state.setdefault(parameter, {})


def _name_of(key: str | int) -> str:
    """The slot's name: a number in brackets where the optimizer has numbers for names."""
    return key if isinstance(key, str) else f"[{int(key)}]"


def _key_of(name: str) -> str | int:
    number = name[1:-1]
    return int(number) if f"[{number}]" == name and number.isdecimal() else name


# Scalars that PyTorch's optimizers keep: not of the parameter's dtype, but of that in which
# they compute with Python numbers. Those of the second line lie with the parameter.
_SCALARS = frozenset(("step", "mu_product", "eta", "mu"))
_BESIDE = frozenset(("eta", "mu"))


def _scalar_dtype(group: dict[str, Any]) -> torch.dtype:
    """As torch.optim makes its scalars."""
    if group.get("fused"):
        return torch.float32
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32


def _like(parameter: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """A tensor beside a parameter, of its strides if it is of its shape; not initialized."""
    # A parameter that is built later is built row by row.
    if is_lazy(parameter) or shape != tuple(parameter.shape):
        return _empty(shape, dtype, parameter.device)
    with torch.inference_mode(False), torch.no_grad():
        return torch.empty_like(parameter.detach(), dtype=dtype)


def _empty(shape: tuple[int, ...], dtype: torch.dtype, device: Any) -> torch.Tensor:
    # What is made in inference mode could not be trained outside of it.
    with torch.inference_mode(False), torch.no_grad():
        return torch.empty(shape, dtype=dtype, device=device)


class _Converted(Value):
    """A scalar whose dtype in the checkpoint is another one."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: torch.Tensor, stored: np.dtype[Any]) -> None:
        self.dtype = stored
        self.shape = ()
        self.memory = None
        self._tensor = tensor

    def read(self) -> Any:
        raise TypeError("this value is for a restore")

    def write(self, contents: Any) -> None:
        with torch.no_grad():
            self._tensor.copy_(as_tensor(contents))


class StateSlot(StandIn):
    """Stands for a slot that is no tensor: a number, None, or tensors within lists and dicts.

    Or for one that is a tensor, and the slot of another parameter already.
    """

    def __init__(self, optimizer: weakref.ref[Any], parameter: Any, name: str) -> None:
        super().__init__()
        self.parameter = parameter
        self._optimizer = optimizer
        self._name = name

    def values(self) -> Mapping[str, Value | ValueFactory]:
        held = self._state().get(_key_of(self._name))
        if isinstance(held, torch.Tensor):
            return {VARIABLE_VALUE: value_of(held)}
        return StateValues(self._get, self._put, what="the optimizer's state")

    def _get(self) -> Any:
        return self._state()[_key_of(self._name)]

    def _put(self, state: Any, uid: int) -> None:
        self._state()[_key_of(self._name)] = state

    def _state(self) -> Any:
        optimizer = self._optimizer()
        assert optimizer is not None  # it is what led here
        return state_of(optimizer, self.parameter)


class _StateSlots:
    """Those of one optimizer: always the same object for the same parameter and name."""

    def __init__(self, optimizer: weakref.ref[Any]) -> None:
        self._optimizer = optimizer
        self._slots: dict[tuple[int, str], StateSlot] = {}

    def of(self, parameter: Any, name: str) -> StateSlot:
        # A slot holds its parameter, so the id stays that of the parameter.
        key = (id(parameter), name)
        slot = self._slots.get(key)
        return slot or self._slots.setdefault(key, StateSlot(self._optimizer, parameter, name))


_state_slots: Beside[_StateSlots] = Beside(_StateSlots)
