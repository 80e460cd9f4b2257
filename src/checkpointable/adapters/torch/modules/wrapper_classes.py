"""The classes of modules that wrap another one, by name: importing their modules is slow."""

from __future__ import annotations

__all__ = ["SHARDED_MODULES", "WRAPPED_MODULES"]

WRAPPED_MODULES = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper": (
        "_checkpoint_wrapped_module"
    ),
    "lightning_fabric.wrappers._FabricModule": "_forward_module",
    "lightning.fabric.wrappers._FabricModule": "_forward_module",
}
"""Wrapper class -> the name under which it registers the module that it wraps.

Private names: `_orig_mod`, `_checkpoint_wrapped_module`, `_forward_module` and the modules
of the classes. If missing: a wrapper is saved as a module around another one, so its values have
longer keys.
"""

SHARDED_MODULES = frozenset(
    ("torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel",)
)
"""Wrapper classes that keep a part of each parameter in every process.

Private name: the module of the class. If missing: the flattened shards of the process are saved
as they are, without the error that explains how to gather them.
"""
