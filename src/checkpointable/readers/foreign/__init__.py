"""Reads tensor files of other libraries: safetensors, and state dicts of `torch.save`.

They have names instead of objects, so they are restored by name (S38).
"""

from __future__ import annotations

from checkpointable.readers.foreign.array_items import Unreadable as Unreadable
from checkpointable.readers.foreign.arrays import ArrayReader as ArrayReader
from checkpointable.readers.foreign.safetensors import write_safetensors as write_safetensors

__all__ = ["ArrayReader", "Unreadable", "write_safetensors"]
