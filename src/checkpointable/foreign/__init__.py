"""Files of tensors that others wrote: safetensors, and state dicts of `torch.save`.

They have names and no objects, so they are restored by name (S38).
"""

from __future__ import annotations

from checkpointable.foreign.arrays import ArrayReader as ArrayReader
from checkpointable.foreign.arrays import Unreadable as Unreadable
from checkpointable.foreign.opening import open_foreign as open_foreign
from checkpointable.foreign.safetensors import write_safetensors as write_safetensors

__all__ = ["ArrayReader", "Unreadable", "open_foreign", "write_safetensors"]
