"""Modules that only wrap another one, which is what a checkpoint has."""

from __future__ import annotations

import weakref
from typing import Any

from checkpointable.adapters.notes import Beside

__all__ = ["inner_name", "unwrap"]


def unwrap(module: Any) -> Any:
    """The module inside all wrappers; the module itself if it is none."""
    while True:
        cls: Any = type(module)
        name = inner_name(cls)
        if name is None:
            return module
        module = module._modules[name]


def inner_name(cls: type) -> str | None:
    """Under which name a wrapper class has the module inside; None if it is no wrapper."""
    return _names.of(cls)


def _find(reference: weakref.ref[Any]) -> str | None:
    cls = reference()
    assert cls is not None
    for base in cls.__mro__:
        name = _WRAPPERS.get(f"{base.__module__}.{base.__qualname__}")
        if name is not None:
            return name
    return None


# A class that was made for one module may hold it: it is not kept alive here.
_names: Beside[str | None] = Beside(_find)

# By name: importing them is slow, and what is not imported nobody has an object of.
_WRAPPERS = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper": (
        "_checkpoint_wrapped_module"
    ),
}
