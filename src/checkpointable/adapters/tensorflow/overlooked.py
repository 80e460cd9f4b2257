"""State in TensorFlow's objects that looks as if it were saved and is not: said at a save.

`tf.train.Checkpoint` leaves it out without a word, and so would a restore: Keras does not show
TensorFlow what is in the lists, dicts and sets of its layers; TensorFlow tracks no sets and
deques, and no objects of other frameworks.
"""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tensorflow.python.trackable.base import Trackable

from checkpointable.adapters.tensorflow.deferred import notes_of
from checkpointable.adapters.tensorflow.keras_state import is_keras_state
from checkpointable.tracking.containers import TrackedContainer
from checkpointable.tracking.overlooked import has_lost_state

__all__ = ["overlooked"]

_CONTAINERS = (list, dict, set, frozenset, deque, UserDict, UserList)
# What is assigned with NoDependency is one of these. Keras's are subclasses.
_LEFT_OUT_ON_PURPOSE = (list, dict)
# More is not looked through: a data set is no state, and a save must not take its time.
_MOST_ITEMS = 1000
# Where Keras notes, besides, what the attributes of a layer or optimizer have.
_NOTES_OF_KERAS = frozenset(
    (
        "_layers",
        "_metrics",
        "_operations",
        "_seed_generators",
        "_trainable_variables",
        "_non_trainable_variables",
    )
)


def overlooked(obj: Any, node_id: Callable[[Any], int | None]) -> Iterator[tuple[str, str]]:
    """(attribute, what is wrong) of state of `obj` that a save leaves out, each once.

    Args:
      obj: an AutoTrackable.
      node_id: the node of an object that is saved, by whichever path; None for another.
    """
    for name, value in vars(obj).items():
        if name in _NOTES_OF_KERAS or name.startswith("_self_"):
            continue
        if isinstance(value, _CONTAINERS):
            if type(value) in _LEFT_OUT_ON_PURPOSE or isinstance(value, Trackable):
                continue
            held = _lost(_items(value), node_id)
            if held is None:
                continue
            kind, keras = type(value).__name__, type(value).__module__.startswith("keras.")
            who = "which Keras does not show to TensorFlow" if keras else "which is not tracked"
            what = (
                f"it is a {kind}, {who}, and holds a {type(held).__name__}; give it an attribute "
                f"of its own, or track it by another object"
            )
        elif isinstance(value, Trackable) or _lost((value,), node_id) is None:
            continue
        else:
            what = (
                f"it is a {type(value).__name__}, and TensorFlow tracks its own objects alone; "
                "make it a dependency of a Checkpointable"
            )
        said = notes_of(obj).said
        if name not in said:
            said.add(name)
            yield name, what


def _lost(items: Iterable[Any], node_id: Callable[[Any], int | None]) -> Any | None:
    """The first that has values and is not saved."""
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
