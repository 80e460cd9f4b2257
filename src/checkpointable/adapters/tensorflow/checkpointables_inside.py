"""Objects of this library inside TensorFlow's.

`tf.Module` and its like track what is a TensorFlow `Trackable`, and nothing else: one of our
objects that is assigned to an attribute, or put into a list or dict there, is none, so that
`tf.train.Checkpoint` passes it by. Our savers look for it where it was put.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorflow.python.trackable.autotrackable import AutoTrackable
from tensorflow.python.trackable.base import Trackable
from tensorflow.python.trackable.data_structures import TrackableDataStructure, _TupleWrapper

from checkpointable.tracking.base import Checkpointable
from checkpointable.tracking.containers import TrackedContainer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["may_hold_ours", "ours_in"]

_OURS = (Checkpointable, TrackedContainer)


def may_hold_ours(cls: type) -> bool:
    """Whether objects of a type have attributes or items that may be of this library."""
    return issubclass(cls, (AutoTrackable, TrackableDataStructure))


def ours_in(obj: Any) -> Iterator[tuple[str, Any]]:
    """(local name, object) of this library's objects that `obj` holds itself."""
    if isinstance(obj, AutoTrackable):
        items: Any = vars(obj).items()
    elif isinstance(obj, dict):
        items = ((key, item) for key, item in obj.items() if isinstance(key, str))
    elif isinstance(obj, (list, tuple)):
        items = ((str(index), item) for index, item in enumerate(obj))
    else:
        return
    for name, item in items:
        if isinstance(item, _OURS):
            yield name, item
        elif isinstance(item, tuple) and not isinstance(item, Trackable) and _has_ours(item):
            # TensorFlow wraps tuples that have something of its own, and leaves others as they
            # are. The wrapper is for the walk alone: a tuple gets no further items.
            yield name, _TupleWrapper(item)


def _has_ours(items: tuple[Any, ...]) -> bool:
    return any(
        isinstance(item, _OURS) or (isinstance(item, tuple) and _has_ours(item)) for item in items
    )
