"""The state of one object as values: JSON under `py_state`, and each array.

A restore collects all parts, and then passes the whole state to the object.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from checkpointable.adapters.state import Encoded, decode, encode
from checkpointable.errors import CheckpointError, CheckpointMismatchError, shown_path
from checkpointable.graph.dtypes import ANY, STRING
from checkpointable.graph.paths import PYTHON_STATE, path_of_key
from checkpointable.graph.value import ReadValue, ValueFactory, ValueSpec, ValueTarget

__all__ = ["StateValues"]

_ARRAYS = f"{PYTHON_STATE}/"


class StateValues(Mapping[str, "ValueSpec | ValueFactory"]):
    """The values of an object's state.

    Iteration, by a save, yields sources: the values of the present state. Item access without
    iteration, by a restore, returns targets for every value that a state may have,
    independent of the present state.

    Args:
      get: Returns the state.
      put: Takes a restored state, and the uid of the restore.
      check: Takes a state in which None stands for each array; raises the error that `put` would.
      what: The name of the function that loads the state, for messages.
    """

    def __init__(
        self,
        get: Callable[[], Any],
        put: Callable[[Any, int], object],
        *,
        check: Callable[[Any], object] | None = None,
        what: str = "load_state_dict",
    ) -> None:
        self._get = get
        self._incoming = _Incoming(put, check, what)

    @functools.cached_property
    def _encoded(self) -> Encoded | ValueError:
        # The error is raised by the save, which adds the path. A status only needs the names.
        try:
            return encode(self._get())
        except ValueError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the save raises it, with the path
            wrapped = ValueError(f"its state cannot be read: {type(error).__name__}: {error}")
            wrapped.__cause__ = error
            return wrapped

    def __iter__(self) -> Iterator[str]:
        yield PYTHON_STATE
        if isinstance(self._encoded, Encoded):
            for name in self._encoded.arrays:
                yield _ARRAYS + name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, attribute: str) -> ValueSpec | ValueFactory:
        if "_encoded" in self.__dict__:
            return self._outgoing(attribute)
        if attribute == PYTHON_STATE:
            return lambda key: _IncomingText(self._incoming, key)
        if attribute.startswith(_ARRAYS):
            return _IncomingArray(self._incoming, attribute.removeprefix(_ARRAYS))
        raise KeyError(attribute)

    def _outgoing(self, attribute: str) -> ValueSpec | ValueFactory:
        encoded = self._encoded
        if attribute == PYTHON_STATE:
            return functools.partial(_outgoing_text, encoded)
        if isinstance(encoded, Encoded) and attribute.startswith(_ARRAYS):
            return encoded.arrays[attribute.removeprefix(_ARRAYS)]
        raise KeyError(attribute)


def _outgoing_text(encoded: Encoded | ValueError, key: str) -> ReadValue:
    def read() -> str:
        if isinstance(encoded, Encoded):
            return encoded.text
        path = shown_path(path_of_key(key))
        raise ValueError(f"{path}: {encoded}") from encoded

    return ReadValue(STRING, (), read)


class _Incoming:
    """A state that is being restored, part by part."""

    def __init__(
        self,
        put: Callable[[Any, int], object],
        check: Callable[[Any], object] | None,
        what: str,
    ) -> None:
        self.text: bytes | None = None
        self.arrays: dict[str, Any] = {}
        self.check = check
        self._put = put
        self._what = what

    def put(self, uid: int, key: str) -> None:
        """Gives the state to its object."""
        text, arrays = self.text, self.arrays
        self.text, self.arrays = None, {}
        if text is None:
            return
        state = _with_key(key, decode, text, arrays)
        try:
            self._put(state, uid)
        except CheckpointError as error:
            error.key = error.key or key
            raise
        except Exception as error:
            raise CheckpointMismatchError(
                f"{self._what} refused the state in the checkpoint: "
                f"{type(error).__name__}: {error}",
                key=key,
            ) from error


class _IncomingText(ValueTarget):
    __slots__ = ("_incoming", "_key")

    def __init__(self, incoming: _Incoming, key: str) -> None:
        self.dtype = STRING
        self.shape = ()
        self.memory = None
        self._incoming = incoming
        self._key = key

    def check(self, contents: Any) -> None:
        state = _with_key(self._key, decode, contents, None)
        if self._incoming.check is not None:
            _with_key(self._key, self._incoming.check, state)

    def write(self, contents: Any) -> None:
        self._incoming.text = contents

    def settle(self, uid: int) -> None:
        self._incoming.put(uid, self._key)


class _IncomingArray(ValueTarget):
    __slots__ = ("_incoming", "_name")

    def __init__(self, incoming: _Incoming, name: str) -> None:
        self.dtype = ANY
        self.shape = None
        self.memory = None
        self._incoming = incoming
        self._name = name

    def write(self, contents: Any) -> None:
        self._incoming.arrays[self._name] = contents


def _with_key(key: str, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function, and adds the key to errors about the checkpoint."""
    try:
        return function(*args)
    except CheckpointError as error:
        error.key = error.key or key
        raise
