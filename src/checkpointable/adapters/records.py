"""Where the records of objects lie that have no place for one: beside them, by identity."""

from __future__ import annotations

import weakref
from typing import Any

from checkpointable.graph.adapter import ObjectRecord

__all__ = ["Records"]


class Records:
    """The records of some objects; each goes when its object does.

    The objects must allow weak references. They need not be hashable.
    """

    def __init__(self) -> None:
        self._records: dict[int, ObjectRecord] = {}

    def get(self, obj: Any) -> ObjectRecord | None:
        """The record of `obj`, None if it has none yet."""
        record = self._records.get(id(obj))
        if record is None or record.owner is None or record.owner() is not obj:
            return None
        return record

    def of(self, obj: Any) -> ObjectRecord:
        """The record of `obj`, made when first asked for."""
        record = self.get(obj)
        if record is None:
            record = ObjectRecord()
            number, records = id(obj), self._records

            def forget(owner: weakref.ref[Any]) -> None:
                # Unless the next object at this address has one by now.
                held = records.get(number)
                if held is not None and held.owner is owner:
                    del records[number]

            record.owner = weakref.ref(obj, forget)
            records[number] = record
        return record
