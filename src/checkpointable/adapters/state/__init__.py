"""Encodes Python state, such as a `state_dict()`, as JSON and separate arrays, without pickle.

None, bools, numbers, strings, lists and dicts with string keys are stored as such. Other types are
objects with one key, which begins with "!":

    {"!tuple": […]}  {"!set": […]}  {"!frozenset": […]}  {"!deque": [maxlen, […]]}
    {"!dict": [[key, value], …]}  {"!OrderedDict": …}  {"!Counter": …}
    {"!OrderedDict+": [[[key, value], …], {attribute: value}]}
    {"!defaultdict": ["int", [[key, value], …]]}
    {"!complex": [real, imaginary]}  {"!bytes": "<base64>"}
    {"!ndarray": name}  {"!numpy": name}  {"!tensor": name}  arrays, stored under that name
    {"!dtype": "float16"}  {"!device": "cpu"}  {"!Size": […]}  PyTorch's

So all items are restored with their types. Any other type raises an error that names its path.

kinds.py      the kinds of arrays and of plain objects, also those that a framework adds
encoding.py   state to JSON and arrays
decoding.py   JSON and arrays to state
"""

from __future__ import annotations

from checkpointable.adapters.state.decoding import decode as decode
from checkpointable.adapters.state.encoding import Encoded as Encoded
from checkpointable.adapters.state.encoding import encode as encode
from checkpointable.adapters.state.kinds import ArrayKind as ArrayKind
from checkpointable.adapters.state.kinds import register_array_kind as register_array_kind
from checkpointable.adapters.state.kinds import register_plain_kind as register_plain_kind

__all__ = [
    "ArrayKind",
    "Encoded",
    "decode",
    "encode",
    "register_array_kind",
    "register_plain_kind",
]
