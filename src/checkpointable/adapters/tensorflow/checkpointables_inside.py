"""Objects of this library inside TensorFlow's.

`tf.Module` and similar classes track TensorFlow `Trackable`s only. Objects of this library in
their attributes, lists and dicts are not `Trackable`s, and `tf.train.Checkpoint` skips them. The
savers of this library look for them in attributes and items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointable.adapters.tensorflow.private_api import (
    AutoTrackable,
    Trackable,
    TrackableDataStructure,
    TupleWrapper,
)
from checkpointable.tracking.base import Checkpointable
from checkpointable.tracking.containers import TrackedContainer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["may_hold_ours", "ours_in"]

_OURS = (Checkpointable, TrackedContainer)


def may_hold_ours(cls: type) -> bool:
    """Returns whether objects of `cls` may have attributes or items of this library."""
    return issubclass(cls, (AutoTrackable, TrackableDataStructure))


def ours_in(obj: Any) -> Iterator[tuple[str, Any]]:
    """Yields (local name, object) for objects of this library in attributes or items of `obj`."""
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
            # TensorFlow wraps only tuples with trackables in them. This wrapper serves the walk
            # and is then dropped, because a tuple gains no items.
            yield name, TupleWrapper(item)


def _has_ours(items: tuple[Any, ...]) -> bool:
    return any(
        isinstance(item, _OURS) or (isinstance(item, tuple) and _has_ours(item)) for item in items
    )
