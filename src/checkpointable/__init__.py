"""checkpointable: save and restore the state of a running program.

The graph of the program's objects is saved by the local names of their attributes, and
matched graph against graph when it is restored. Start with `Checkpoint`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from checkpointable.graph.registry import Finder, register_built_in

if TYPE_CHECKING:  # loaded by `__getattr__` on first access
    from checkpointable import abc as abc
    from checkpointable import torch as torch
    from checkpointable.comparison import compare_checkpoints as compare_checkpoints
    from checkpointable.directory.checkpoint_state import (
        get_checkpoint_state as get_checkpoint_state,
    )
    from checkpointable.directory.checkpoint_state import (
        update_checkpoint_state as update_checkpoint_state,
    )
    from checkpointable.directory.latest import latest_checkpoint as latest_checkpoint
    from checkpointable.directory.polling import checkpoints_iterator as checkpoints_iterator
    from checkpointable.errors import CheckpointCorruptError as CheckpointCorruptError
    from checkpointable.errors import CheckpointError as CheckpointError
    from checkpointable.errors import CheckpointIOError as CheckpointIOError
    from checkpointable.errors import CheckpointMismatchError as CheckpointMismatchError
    from checkpointable.errors import CheckpointNotFoundError as CheckpointNotFoundError
    from checkpointable.errors import CheckpointPermissionError as CheckpointPermissionError
    from checkpointable.errors import CheckpointSignatureError as CheckpointSignatureError
    from checkpointable.errors import CheckpointUnsupportedError as CheckpointUnsupportedError
    from checkpointable.graph.value import Value as Value
    from checkpointable.maintenance.reencode import reencode_checkpoint as reencode_checkpoint
    from checkpointable.maintenance.rename import rename_checkpoint as rename_checkpoint
    from checkpointable.maintenance.sign import verify_manifest as verify_manifest
    from checkpointable.maintenance.sign import write_manifest as write_manifest
    from checkpointable.manager.manager import CheckpointManager as CheckpointManager
    from checkpointable.readers.reading import list_variables as list_variables
    from checkpointable.readers.reading import load_checkpoint as load_checkpoint
    from checkpointable.readers.reading import object_metadata as object_metadata
    from checkpointable.report import Outcome as Outcome
    from checkpointable.report import Report as Report
    from checkpointable.report import ReportEntry as ReportEntry
    from checkpointable.savers.checkpoint import Checkpoint as Checkpoint
    from checkpointable.savers.name_based_saver import Saver as Saver
    from checkpointable.savers.saver import CheckpointableSaver as CheckpointableSaver
    from checkpointable.saving.background import SaveHandle as SaveHandle
    from checkpointable.status import CheckpointLoadStatus as CheckpointLoadStatus
    from checkpointable.status import InitializationOnlyStatus as InitializationOnlyStatus
    from checkpointable.status import NameBasedSaverStatus as NameBasedSaverStatus
    from checkpointable.tracking.add_variable import add_variable as add_variable
    from checkpointable.tracking.base import Checkpointable as Checkpointable
    from checkpointable.tracking.base import NoDependency as NoDependency
    from checkpointable.tracking.base import NotCheckpointable as NotCheckpointable
    from checkpointable.tracking.containers import Dict as Dict
    from checkpointable.tracking.containers import List as List
    from checkpointable.tracking.json_state import JSONState as JSONState
    from checkpointable.tracking.optimizer import Optimizer as Optimizer
    from checkpointable.tracking.python_state import PythonState as PythonState
    from checkpointable.tracking.random_state import NumpyRandomState as NumpyRandomState
    from checkpointable.tracking.random_state import RandomState as RandomState
    from checkpointable.tracking.variable import Variable as Variable

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointIOError",
    "CheckpointLoadStatus",
    "CheckpointManager",
    "CheckpointMismatchError",
    "CheckpointNotFoundError",
    "CheckpointPermissionError",
    "CheckpointSignatureError",
    "CheckpointUnsupportedError",
    "Checkpointable",
    "CheckpointableSaver",
    "Dict",
    "InitializationOnlyStatus",
    "JSONState",
    "List",
    "NameBasedSaverStatus",
    "NoDependency",
    "NotCheckpointable",
    "NumpyRandomState",
    "Optimizer",
    "Outcome",
    "PythonState",
    "RandomState",
    "Report",
    "ReportEntry",
    "SaveHandle",
    "Saver",
    "Value",
    "Variable",
    "__version__",
    "add_variable",
    "checkpoints_iterator",
    "compare_checkpoints",
    "get_checkpoint_state",
    "latest_checkpoint",
    "list_variables",
    "load_checkpoint",
    "object_metadata",
    "reencode_checkpoint",
    "rename_checkpoint",
    "update_checkpoint_state",
    "verify_manifest",
    "write_manifest",
]

# The module of each public name, which is loaded on first access. A program that saves needs few
# of the modules for reports, comparisons and renames, and a program that only imports the package
# needs none.
_MODULES = {
    "saving.background": ("SaveHandle",),
    "savers.checkpoint": ("Checkpoint",),
    "comparison": ("compare_checkpoints",),
    "errors": (
        "CheckpointCorruptError",
        "CheckpointError",
        "CheckpointIOError",
        "CheckpointMismatchError",
        "CheckpointNotFoundError",
        "CheckpointPermissionError",
        "CheckpointSignatureError",
        "CheckpointUnsupportedError",
    ),
    "graph.value": ("Value",),
    "directory.checkpoint_state": ("get_checkpoint_state", "update_checkpoint_state"),
    "directory.latest": ("latest_checkpoint",),
    "manager.manager": ("CheckpointManager",),
    "maintenance.sign": ("verify_manifest", "write_manifest"),
    "savers.name_based_saver": ("Saver",),
    "directory.polling": ("checkpoints_iterator",),
    "readers.reading": ("list_variables", "load_checkpoint", "object_metadata"),
    "maintenance.reencode": ("reencode_checkpoint",),
    "maintenance.rename": ("rename_checkpoint",),
    "report": ("Outcome", "Report", "ReportEntry"),
    "savers.saver": ("CheckpointableSaver",),
    "status": ("CheckpointLoadStatus", "InitializationOnlyStatus", "NameBasedSaverStatus"),
    "tracking.add_variable": ("add_variable",),
    "tracking.base": ("Checkpointable", "NoDependency", "NotCheckpointable"),
    "tracking.containers": ("Dict", "List"),
    "tracking.json_state": ("JSONState",),
    "tracking.optimizer": ("Optimizer",),
    "tracking.python_state": ("PythonState",),
    "tracking.random_state": ("NumpyRandomState", "RandomState"),
    "tracking.variable": ("Variable",),
}
_SUBMODULES = {
    "abc": "checkpointable.abc",  # interfaces, and types that calls return
    "torch": "checkpointable.torch",  # only for users of PyTorch
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def _built_in_finders() -> tuple[Finder, ...]:
    from checkpointable.adapters.frameworks import find_in_frameworks
    from checkpointable.adapters.given import find_given
    from checkpointable.adapters.own import find_own
    from checkpointable.adapters.state.state_dict import find_by_state_dict

    # The second recognizes objects by two methods, which objects of frameworks have, too.
    return find_in_frameworks, find_by_state_dict, find_given, find_own


register_built_in(_built_in_finders)


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        if name in _SUBMODULES:
            return import_module(_SUBMODULES[name])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"checkpointable.{module}"), name)
    globals()[name] = value  # the next access does not call this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, *_SUBMODULES})
