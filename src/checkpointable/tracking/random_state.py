"""Random number generators as Python state, so that the next draw is the same (S8).

The state is stored as a JSON object, without pickle: the kind of the generator under
`GENERATOR_KEY`, and its numbers. Arrays of NumPy's generators are lists under their names; a
restore uses the dtypes of the program's generator.
"""

from __future__ import annotations

import abc
import math
import random
from types import ModuleType
from typing import Any

import numpy as np

from checkpointable.errors import CheckpointCorruptError, CheckpointMismatchError
from checkpointable.tracking.json_state import GENERATOR_KEY, decode_object, encode_object
from checkpointable.tracking.python_state import PythonState

__all__ = ["NumpyRandomState", "RandomState"]

_STATE_KEY = "state"

# The state of `random.Random.getstate`: the version, then 624 words and a position.
_PYTHON_VERSION = 3
_WORDS = 624


class _GeneratorState(PythonState):
    """Base class of generator states: the JSON object around the numbers, with the kind."""

    @abc.abstractmethod
    def _kind(self) -> str:
        """Returns the kind of the generator, as messages name it."""

    @abc.abstractmethod
    def _read(self) -> Any:
        """Returns the generator's state as JSON."""

    @abc.abstractmethod
    def _parse(self, stored: Any) -> Any:
        """Returns the argument for `_set`; raises `_Unfit` for a state that does not fit."""

    @abc.abstractmethod
    def _set(self, state: Any) -> None:
        """Sets the generator to a state that `_parse` returned."""

    def serialize(self) -> bytes:
        """Returns the generator's kind and state as JSON."""
        return encode_object({GENERATOR_KEY: self._kind(), _STATE_KEY: self._read()})

    def deserialize(self, string_value: bytes) -> None:
        """Sets the generator to a saved state.

        Raises:
          CheckpointMismatchError: The state is that of another kind of generator, or of none.
          CheckpointCorruptError: The state is damaged. The generator did not change.
        """
        self._set(self._decode(string_value))

    def _check_serialized(self, string_value: bytes) -> None:
        self._decode(string_value)

    def _decode(self, string_value: bytes) -> Any:
        contents = decode_object(string_value, "random number generator's state")
        expected = self._kind()
        kind = contents.get(GENERATOR_KEY, "Python object that is not a random number generator")
        if kind != expected:
            raise CheckpointMismatchError(
                f"the checkpoint has the state of a {kind!s:.80}, but the program has a {expected}"
            )
        try:
            return self._parse(contents.get(_STATE_KEY))
        except _Unfit as error:
            raise CheckpointCorruptError(f"the state does not fit a {expected}: {error}") from None


class _Unfit(Exception):
    """Error: a stored state does not fit the generator; the message contains the reason."""


class RandomState(_GeneratorState):
    """The state of a `random.Random`, or of the module `random` itself.

    After a restore, the next draw of the generator equals the one that followed the save.

    Args:
      generator: The generator to save and restore; None for the module's functions.

    Raises:
      TypeError: It is not a `random.Random`, or has no state (`random.SystemRandom`).

    Example:
        checkpoint = cp.Checkpoint(shuffling=cp.RandomState(), net=net)
    """

    def __init__(self, generator: random.Random | None = None) -> None:
        if generator is not None and not isinstance(generator, random.Random):
            raise TypeError(
                f"RandomState takes a random.Random or None, not {type(generator).__name__}; "
                "for NumPy's generators there is NumpyRandomState"
            )
        self._generator: random.Random | ModuleType = random if generator is None else generator
        try:
            self._read()
        except (NotImplementedError, _Unfit) as error:
            raise TypeError(
                f"a {type(generator).__name__} has no state that could be saved ({error})"
            ) from None

    @property
    def generator(self) -> random.Random | ModuleType:
        """The generator; the module `random` if none was given."""
        return self._generator

    def _kind(self) -> str:
        return "random.Random"

    def _read(self) -> dict[str, Any]:
        version, internal, gauss_next = self._generator.getstate()
        if version != _PYTHON_VERSION:
            raise _Unfit(f"its state has the unknown form {version!r}")
        *key, position = internal
        state = {"version": version, "key": key, "pos": position, "gauss_next": gauss_next}
        self._parse(state)
        return state

    def _parse(self, stored: Any) -> tuple[int, tuple[int, ...], float | None]:
        fields = _fields(stored, ("version", "key", "pos", "gauss_next"))
        if fields["version"] != _PYTHON_VERSION:
            raise _Unfit(f"version is {fields['version']!r:.80}, not {_PYTHON_VERSION}")
        key = _words(fields["key"], "key", _WORDS, 2**32 - 1)
        gauss_next = fields["gauss_next"]
        if gauss_next is not None and not _is_finite_float(gauss_next):
            raise _Unfit(f"gauss_next is {gauss_next!r:.80}, neither null nor a float")
        return _PYTHON_VERSION, (*key, _word(fields["pos"], "pos", _WORDS)), gauss_next

    def _set(self, state: Any) -> None:
        self._generator.setstate(state)


class NumpyRandomState(_GeneratorState):
    """The state of a NumPy generator, old or new, or of the global one (`np.random.seed`).

    After a restore, the next draw of the generator equals the one that followed the save. The
    result of `spawn` is not part of the state: it depends on the seed, and on how many
    generators were spawned.

    Args:
      generator: A `np.random.Generator` on any bit generator, or a `np.random.RandomState`;
        None for the global one.

    Raises:
      TypeError: It is none of these, or a third party's bit generator whose state is not
        numbers.

    Example:
        rng = np.random.default_rng(1)
        checkpoint = cp.Checkpoint(rng=cp.NumpyRandomState(rng), net=net)
    """

    def __init__(
        self, generator: np.random.Generator | np.random.RandomState | None = None
    ) -> None:
        if not isinstance(generator, np.random.Generator | np.random.RandomState | None):
            raise TypeError(
                "NumpyRandomState takes a numpy.random.Generator, a numpy.random.RandomState or "
                f"None, not {type(generator).__name__}"
            )
        self._generator = generator
        try:
            self._parse(decode_object(self.serialize(), "state")[_STATE_KEY])
        except (_Unfit, ValueError) as error:
            raise TypeError(f"the state of a {self._kind()} cannot be saved: {error}") from None

    @property
    def generator(self) -> np.random.Generator | np.random.RandomState | None:
        """The generator; None for the global one."""
        return self._generator

    def _kind(self) -> str:
        outer = "Generator" if isinstance(self._generator, np.random.Generator) else "RandomState"
        return f"numpy.random.{outer}({self._live()['bit_generator']})"

    def _live(self) -> dict[str, Any]:
        generator = self._generator
        state: Any
        if isinstance(generator, np.random.Generator):
            state = generator.bit_generator.state
        elif generator is None:
            state = np.random.get_state(legacy=False)  # noqa: NPY002 - the global one is asked for
        else:
            state = generator.get_state(legacy=False)
        return dict(state)

    def _read(self) -> Any:
        return _to_json(self._live())

    def _parse(self, stored: Any) -> Any:
        state = _like(stored, self._live(), "state")
        for name, most in _BOUNDS.items():
            for fields in (state, state.get("state")):
                value = fields.get(name) if isinstance(fields, dict) else None
                if isinstance(value, int) and value > most:
                    raise _Unfit(f"{name} is {value}, more than {most}")
        inner = state.get("state")
        if isinstance(inner, dict) and isinstance(inner.get("inc"), int) and not inner["inc"] & 1:
            raise _Unfit("inc is even")
        return state

    def _set(self, state: Any) -> None:
        generator = self._generator
        if isinstance(generator, np.random.Generator):
            generator.bit_generator.state = state
        elif generator is None:
            np.random.set_state(state)  # noqa: NPY002 - the global one is asked for
        else:
            generator.set_state(state)


# NumPy accepts these unchecked, and would use the position to read memory.
_BOUNDS = {
    "pos": _WORDS,
    "buffer_pos": 4,
    "has_uint32": 1,
    "has_gauss": 1,
    "uinteger": 2**32 - 1,
}
_LARGEST = 2**128 - 1  # a PCG64's state and increment have 128 bits


def _to_json(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _to_json(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state


def _like(stored: Any, live: Any, name: str) -> Any:
    """Returns `stored` in the form of `live`: the same names, types, shapes and dtypes."""
    if isinstance(live, dict):
        fields = _fields(stored, tuple(live), name)
        return {key: _like(fields[key], value, key) for key, value in live.items()}
    if isinstance(live, np.ndarray):
        if live.dtype.kind != "u":
            raise _Unfit(f"{name} is an array of {live.dtype}, not of unsigned words")
        most = int(np.iinfo(live.dtype).max)
        return np.array(_words(stored, name, live.size, most), live.dtype).reshape(live.shape)
    if isinstance(live, str):
        if stored != live:
            raise _Unfit(f"{name} is {stored!r:.80}, not {live!r}")
        return live
    if isinstance(live, float):
        if not _is_finite_float(stored):
            raise _Unfit(f"{name} is {stored!r:.80}, not a float")
        return stored
    return _word(stored, name, _LARGEST)


def _fields(stored: Any, names: tuple[str, ...], what: str = "state") -> dict[str, Any]:
    if not isinstance(stored, dict) or set(stored) != set(names):
        given = ", ".join(map(str, stored)) if isinstance(stored, dict) else type(stored).__name__
        raise _Unfit(f"{what} has {given:.200}, but should have {', '.join(names)}")
    return stored


def _words(stored: Any, name: str, count: int, most: int) -> list[int]:
    if not isinstance(stored, list) or len(stored) != count:
        size = f"{len(stored)} numbers" if isinstance(stored, list) else type(stored).__name__
        raise _Unfit(f"{name} has {size}, not {count} numbers")
    return [_word(word, name, most) for word in stored]


def _word(stored: Any, name: str, most: int) -> int:
    if type(stored) is not int or not 0 <= stored <= most:
        raise _Unfit(f"{name} has {stored!r:.80}, not an integer from 0 to {most}")
    return stored


def _is_finite_float(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)
