"""Lists, dicts and tuples that track their items (S3).

A plain container assigned to an attribute is replaced by its tracked form, which still is a
`list`, `dict` or `tuple` for all other code: for `isinstance`, equality, iteration, `copy`,
`pickle` and JSON. It may be changed freely; a save stores its present items.

The tracked form refers to the plain container that it replaces and applies its changes to both. So
the two differ only if the program changes the plain container through its old name. Such items
would silently be missing from the checkpoint, so a save raises an error.
"""

from __future__ import annotations

from checkpointable.tracking.containers.base import TrackedContainer as TrackedContainer
from checkpointable.tracking.containers.base import notes_of as notes_of
from checkpointable.tracking.containers.dicts import Dict as Dict
from checkpointable.tracking.containers.lists import List as List
from checkpointable.tracking.containers.tuples import TrackedTuple as TrackedTuple
from checkpointable.tracking.containers.wrapping import wrap_container as wrap_container

__all__ = ["Dict", "List", "TrackedContainer", "TrackedTuple", "notes_of", "wrap_container"]
