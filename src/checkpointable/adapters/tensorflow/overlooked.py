"""Finds state in TensorFlow objects that looks saved and is not.

Saves log it; `tf.train.Checkpoint` leaves it out silently. Keras does not show TensorFlow the
contents of its layers' lists, dicts and sets. TensorFlow tracks neither sets and deques nor the
objects of other frameworks.
"""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from checkpointable.adapters.tensorflow.deferred import notes_of
from checkpointable.adapters.tensorflow.keras_state import is_keras_state
from checkpointable.adapters.tensorflow.private_api import Trackable
from checkpointable.adapters.tensorflow.private_attributes import KERAS_LISTS
from checkpointable.tracking.containers import TrackedContainer
from checkpointable.tracking.overlooked import has_lost_state

__all__ = ["overlooked"]

_CONTAINERS = (list, dict, set, frozenset, deque, UserDict, UserList)
# TensorFlow keeps an attribute assigned with NoDependency as one of these; Keras's are subclasses.
_LEFT_OUT_ON_PURPOSE = (list, dict)
# A longer container is a data set rather than state, and must not slow down a save.
_MOST_ITEMS = 1000


def overlooked(obj: Any, node_id: Callable[[Any], int | None]) -> Iterator[tuple[str, str]]:
    """Yields (attribute, problem) for state of `obj` that a save omits, each once.

    Args:
      obj: an AutoTrackable.
      node_id: returns the node of an object that is saved, by any path; None for others.
    """
    for name, value in vars(obj).items():
        if name in KERAS_LISTS or name.startswith("_self_"):
            continue
        if isinstance(value, _CONTAINERS):
            if type(value) in _LEFT_OUT_ON_PURPOSE or isinstance(value, Trackable):
                continue
            held = _lost(_items(value), node_id)
            if held is None:
                continue
            kind, keras = type(value).__name__, type(value).__module__.startswith("keras.")
            reason = "which Keras does not show to TensorFlow" if keras else "which is not tracked"
            what = (
                f"it is a {kind}, {reason}, and holds a {type(held).__name__}; assign that to an "
                "attribute, or make it a dependency of another object"
            )
        elif isinstance(value, Trackable) or _lost((value,), node_id) is None:
            continue
        else:
            what = (
                f"it is a {type(value).__name__}, and TensorFlow tracks only TensorFlow objects; "
                "make it a dependency of a Checkpointable"
            )
        reported = notes_of(obj).reported
        if name not in reported:
            reported.add(name)
            yield name, what


def _lost(items: Iterable[Any], node_id: Callable[[Any], int | None]) -> Any | None:
    """Returns the first item that has values and is not saved."""
    for item in items:
        if is_keras_state(type(item)):  # every layer with dropout has one, every compiled model
            continue
        if has_lost_state(item, node_id):
            return item
    return None


def _items(container: Any) -> Iterator[Any]:
    items = container.values() if isinstance(container, dict | UserDict) else container
    for _, item in zip(range(_MOST_ITEMS), items, strict=False):
        if isinstance(item, _CONTAINERS) and not isinstance(item, (Trackable, TrackedContainer)):
            yield from _items(item)
        else:
            yield item
