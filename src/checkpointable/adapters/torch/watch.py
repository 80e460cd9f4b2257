"""PyTorch hooks that are installed only while a restore waits for something to be built (S21).

The registration hooks of PyTorch report modules, parameters and buffers as they are assigned.
Some methods call no hook (`ModuleList.insert`, `Optimizer.add_param_group`). What they add is
found by a pre-hook of the next forward or optimizer step, before it is used, and at every save,
restore or status call.

Each kind of hook is installed only while some object needs it: a global forward hook, for
example, slows down `torch.compile`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from checkpointable.adapters.torch.private_api import is_last_hook
from checkpointable.adapters.watch import look_at, look_later
from checkpointable.graph.adapter import Watcher
from checkpointable.graph.restore_notes import RestoreNotes

__all__ = ["HookWatcher", "look_if_changed"]


class HookWatcher(Watcher):
    """Installs hooks when the first object is watched and removes them after the last.

    Args:
      install: functions that install one hook each and return its handle.
      beside: watchers to start and stop together with this one.
    """

    def __init__(self, *install: Callable[[], Any], beside: tuple[HookWatcher, ...] = ()) -> None:
        self._install = install
        self._beside = beside
        self._handles: list[Any] = []
        self._uses = 0

    def start(self) -> None:
        self._uses += 1
        if self._uses == 1:
            self._handles = [install() for install in self._install]
        for other in self._beside:
            other.start()

    def stop(self) -> None:
        self._uses -= 1
        if not self._uses:
            handles, self._handles = self._handles, []
            _remove(handles)
        for other in self._beside:
            other.stop()


def _remove(handles: list[Any]) -> None:
    """Removes hooks: at once if possible, else when objects are looked at again.

    PyTorch may be looping over the table that a hook is in.
    """
    postponed = []
    for handle in handles:
        if is_last_hook(handle):
            handle.remove()
        else:
            postponed.append(handle)
    if postponed:
        look_later(lambda: [handle.remove() for handle in postponed])


# Notes of an object -> its sizes when it was last looked at.
_last_sizes: weakref.WeakKeyDictionary[RestoreNotes, tuple[int, ...]] = weakref.WeakKeyDictionary()


def look_if_changed(notes: RestoreNotes, sizes: tuple[int, ...]) -> None:
    """Restores what has been added to an object if its sizes differ from those of the last call.

    Args:
      notes: the notes of the object.
      sizes: numbers that change when the object gains something.
    """
    if _last_sizes.get(notes) != sizes:
        _last_sizes[notes] = sizes
        look_at(notes)
