"""cp.abc: interfaces that you may implement, and types that calls return or accept.

    class Bucket(cp.abc.Storage): ...           # see checkpointable.testing.StorageConformance
    class OfMyFramework(cp.abc.Adapter): ...    # entry point group "checkpointable.adapters"

    def check(status: cp.abc.LoadStatus) -> None: ...

Each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded by `__getattr__`
    from checkpointable.bundle.reading.verify import Damage
    from checkpointable.comparison import Comparison, Difference, Verdict
    from checkpointable.directory.state_file import CheckpointState
    from checkpointable.graph.adapter import Adapter, Watcher
    from checkpointable.graph.executor import Executor, NoContentsError
    from checkpointable.graph.object_graph import ObjectGraph
    from checkpointable.graph.restore_notes import RestoreNotes, resolve_pending
    from checkpointable.graph.slots import NewSlot, Slots
    from checkpointable.graph.value import (
        AtOnce,
        Part,
        ReadValue,
        SplitValue,
        Value,
        ValueSource,
        ValueSpec,
        ValueTarget,
    )
    from checkpointable.manager.preemption import Preemption
    from checkpointable.readers.reader import CheckpointReader, FileDicts, Location, StoredValue
    from checkpointable.report import ValueInfo
    from checkpointable.savers.options import (
        AsyncSaveOptions,
        ManagerOptions,
        RestoreOptions,
        SaveOptions,
    )
    from checkpointable.status import LoadStatus
    from checkpointable.storage import FileIdentity, ReadableFile, Storage, WritableFile

__all__ = [
    "Adapter",
    "AsyncSaveOptions",
    "AtOnce",
    "CheckpointReader",
    "CheckpointState",
    "Comparison",
    "Damage",
    "Difference",
    "Executor",
    "FileDicts",
    "FileIdentity",
    "LoadStatus",
    "Location",
    "ManagerOptions",
    "NewSlot",
    "NoContentsError",
    "ObjectGraph",
    "Part",
    "Preemption",
    "ReadValue",
    "ReadableFile",
    "RestoreNotes",
    "RestoreOptions",
    "SaveOptions",
    "Slots",
    "SplitValue",
    "Storage",
    "StoredValue",
    "Value",
    "ValueInfo",
    "ValueSource",
    "ValueSpec",
    "ValueTarget",
    "Verdict",
    "Watcher",
    "WritableFile",
    "resolve_pending",
]

_MODULES = {
    "checkpointable.bundle.reading.verify": ("Damage",),
    "checkpointable.comparison": ("Comparison", "Difference", "Verdict"),
    "checkpointable.directory.state_file": ("CheckpointState",),
    "checkpointable.graph.adapter": ("Adapter", "Watcher"),
    "checkpointable.graph.executor": ("Executor", "NoContentsError"),
    "checkpointable.graph.object_graph": ("ObjectGraph",),
    "checkpointable.graph.restore_notes": ("RestoreNotes", "resolve_pending"),
    "checkpointable.graph.slots": ("NewSlot", "Slots"),
    "checkpointable.graph.value": (
        "AtOnce",
        "Part",
        "ReadValue",
        "SplitValue",
        "Value",
        "ValueSource",
        "ValueSpec",
        "ValueTarget",
    ),
    "checkpointable.manager.preemption": ("Preemption",),
    "checkpointable.readers.reader": ("CheckpointReader", "FileDicts", "Location", "StoredValue"),
    "checkpointable.report": ("ValueInfo",),
    "checkpointable.savers.options": (
        "AsyncSaveOptions",
        "ManagerOptions",
        "RestoreOptions",
        "SaveOptions",
    ),
    "checkpointable.status": ("LoadStatus",),
    "checkpointable.storage": ("FileIdentity", "ReadableFile", "Storage", "WritableFile"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value  # so that this function is not called again
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
