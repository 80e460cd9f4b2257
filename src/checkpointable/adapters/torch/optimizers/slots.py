"""The slots of an optimizer: the entries of `optimizer.state[parameter]`, by name."""

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
from checkpointable.graph.paths import VARIABLE_VALUE
from checkpointable.graph.restore_notes import PendingChild
from checkpointable.graph.slots import NewSlot, Slots
from checkpointable.graph.value import ValueFactory, ValueSpec, ValueTarget

__all__ = ["OptimizerSlots", "StateSlot", "parameters_of"]

Array = np.ndarray[Any, np.dtype[Any]]


def parameters_of(optimizer: Any) -> list[torch.Tensor]:
    """Returns the parameters in the groups of an optimizer, in order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


class OptimizerSlots(Slots):
    """The slots of one optimizer.

    State of tensors that are in none of its groups is not saved.
    """

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
                f"{type(self._optimizer).__name__} keeps state of a parameter under the key "
                f"{wrong[0]!r}, a {type(wrong[0]).__name__}: only str and int can be saved. "
                "Convert the keys, or save the state as part of a state_dict()"
            )
        return list(dict.fromkeys(map(_name_of, names)))

    def get(self, variable: Any, slot_name: str) -> Any | None:
        state = self._optimizer.state
        if id(variable) not in self._groups or variable not in state:
            return None
        key = _key_of(slot_name)
        if key not in state[variable]:
            return None
        slot = state[variable][key]
        holder = (id(variable), key)
        if isinstance(slot, torch.Tensor) and self._holders.get(id(slot), holder) == holder:
            return slot
        return _state_slots.of(self._optimizer).of(variable, slot_name)

    @functools.cached_property
    def _holders(self) -> dict[int, tuple[int, Any]]:
        """id of a tensor -> the first (id of a parameter, name) that it is the slot of.

        Some optimizers hold one tensor in the state of every parameter (tables of 8-bit
        optimizers). In a checkpoint it is the slot of the first parameter; the others get copies.
        """
        holders: dict[int, tuple[int, Any]] = {}
        state = self._optimizer.state
        for parameter in self._parameters:
            if parameter in state:
                for key, slot in state[parameter].items():
                    if isinstance(slot, torch.Tensor):
                        holders.setdefault(id(slot), (id(parameter), key))
        return holders

    def prepare(
        self, variable: Any, slot_name: str, dtype: np.dtype[Any] | None, shape: tuple[int, ...]
    ) -> NewSlot | None:
        group = self._groups.get(id(variable))
        if group is None:
            return None
        if dtype is None:
            slot = _state_slots.of(self._optimizer).of(variable, slot_name)
            return NewSlot(slot, slot.values(), lambda _: slot)
        stored = torch_dtype(dtype)
        if stored is None:
            return None
        if not shape and stored.is_floating_point and slot_name in _SCALARS:
            tensor = _empty((), _scalar_dtype(group), self._device(slot_name, variable, group))
        else:
            tensor = _like(variable, shape, stored)
        value = value_of(tensor) if tensor.dtype == stored else _Converted(tensor, dtype)

        def keep(_: PendingChild) -> torch.Tensor:
            state_of(self._optimizer, variable)[_key_of(slot_name)] = tensor
            return tensor

        return NewSlot(tensor, {VARIABLE_VALUE: value}, keep)

    def _device(self, slot_name: str, variable: Any, group: dict[str, Any]) -> Any:
        """Returns the device on which the optimizer keeps a scalar.

        That is the CPU, unless the step is computed on the device of the parameter.
        """
        on_device = group.get("capturable") or group.get("fused") or slot_name in _BESIDE
        if on_device or isinstance(self._optimizer, torch.optim.ASGD):
            return variable.device
        return "cpu"


def _warn_of_strays(optimizer: Any, known: dict[int, Any]) -> None:
    """Warns, once per optimizer, of state that belongs to none of its parameters."""
    warned = _warned.of(optimizer)
    if warned or not optimizer.state:
        return
    strays = sum(isinstance(one, torch.Tensor) and id(one) not in known for one in optimizer.state)
    if strays:
        warned.append(strays)
        logger.warning(
            "%s has state for %d tensor(s) that are in none of its groups. This state is not "
            "saved; state_dict() of the optimizer fails because of it. Add the tensors to a "
            "group, or delete their state",
            type(optimizer).__name__,
            strays,
        )


_warned: Beside[list[int]] = Beside(lambda _: [])


def state_of(optimizer: Any, parameter: Any) -> Any:
    """Returns the state of one parameter; an empty dict that is added if it has none yet."""
    # The state of some third-party optimizers is a plain dict, which adds nothing by itself.
    return optimizer.state.setdefault(parameter, {})


def _name_of(key: str | int) -> str:
    """Returns the slot name of a key in the state: numbers are written in brackets."""
    return key if isinstance(key, str) else f"[{int(key)}]"


def _key_of(name: str) -> str | int:
    number = name[1:-1]
    return int(number) if f"[{number}]" == name and number.isdecimal() else name


# Scalars of PyTorch's optimizers. Their dtype is not that of the parameter, but the one that
# PyTorch uses for Python numbers.
_SCALARS = frozenset(("step", "mu_product", "eta", "mu"))
# Those that are always on the device of the parameter.
_BESIDE = frozenset(("eta", "mu"))


def _scalar_dtype(group: dict[str, Any]) -> torch.dtype:
    """Returns the dtype that torch.optim gives to its scalars."""
    if group.get("fused"):
        return torch.float32
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32


def _like(parameter: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Returns an uninitialized tensor on the device of a parameter.

    It has the parameter's strides if it has its shape.
    """
    # A lazy parameter that is built later will be contiguous.
    if is_lazy(parameter) or shape != tuple(parameter.shape):
        return _empty(shape, dtype, parameter.device)
    with torch.inference_mode(False), torch.no_grad():
        return torch.empty_like(parameter.detach(), dtype=dtype)


def _empty(shape: tuple[int, ...], dtype: torch.dtype, device: Any) -> torch.Tensor:
    # A tensor that is made in inference mode cannot be trained outside it.
    with torch.inference_mode(False), torch.no_grad():
        return torch.empty(shape, dtype=dtype, device=device)


class _Converted(ValueTarget):
    """A scalar whose dtype in the checkpoint is another one."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: torch.Tensor, stored: np.dtype[Any]) -> None:
        self.dtype = stored
        self.shape = ()
        self.memory = None
        self._tensor = tensor

    def write(self, contents: Any) -> None:
        with torch.no_grad():
            self._tensor.copy_(as_tensor(contents))


class StateSlot(StandIn):
    """Stands for a slot that is no tensor: a number, None, or tensors within lists and dicts.

    Stands also for a tensor that is already the slot of another parameter.
    """

    def __init__(self, optimizer: weakref.ref[Any], parameter: Any, name: str) -> None:
        super().__init__()
        self.parameter = parameter
        self._optimizer = optimizer
        self._name = name

    def values(self) -> Mapping[str, ValueSpec | ValueFactory]:
        slot = self._state().get(_key_of(self._name))
        if isinstance(slot, torch.Tensor):
            return {VARIABLE_VALUE: value_of(slot)}
        return StateValues(self._get, self._put, what="the optimizer's state")

    def _get(self) -> Any:
        return self._state()[_key_of(self._name)]

    def _put(self, state: Any, uid: int) -> None:
        self._state()[_key_of(self._name)] = state

    def _state(self) -> Any:
        optimizer = self._optimizer()
        assert optimizer is not None  # slots are reached through their optimizer
        return state_of(optimizer, self.parameter)


class _StateSlots:
    """The stand-ins for slots of one optimizer: one object per parameter and name."""

    def __init__(self, optimizer: weakref.ref[Any]) -> None:
        self._optimizer = optimizer
        self._slots: dict[tuple[int, str], StateSlot] = {}

    def of(self, parameter: Any, name: str) -> StateSlot:
        # A slot holds its parameter, so the id stays that of the parameter.
        key = (id(parameter), name)
        slot = self._slots.get(key)
        return slot or self._slots.setdefault(key, StateSlot(self._optimizer, parameter, name))


_state_slots: Beside[_StateSlots] = Beside(_StateSlots)
