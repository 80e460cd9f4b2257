"""Makes values to write from the values of adapters; reads those whose size must be known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from checkpointable.bundle import DataType, ValueToWrite, datatype_of
from checkpointable.errors import CheckpointUnsupportedError, shown_path
from checkpointable.graph.by_executor import by_executor
from checkpointable.graph.dtypes import STRING, VARIANT, as_string_array, fits
from checkpointable.graph.executor import NoContentsError
from checkpointable.graph.paths import path_of_key
from checkpointable.graph.value import AtOnce, ReadValue, ValueSource, ValueSpec

__all__ = ["values_to_write"]


def _same(contents: Any) -> Any:
    return contents


def values_to_write(
    values: Sequence[tuple[str, ValueSpec]], session: Any = None
) -> list[ValueToWrite]:
    """Returns the values to write.

    Args:
      values: (key, value) each.
      session: evaluates values of graph mode (S36).

    Raises:
      ValueError: a value has no contents, or strings of another shape than it declares.
      TypeError: a string value has contents other than strings.
      CheckpointUnsupportedError: the format has no such dtype.
    """
    evaluated: dict[str, Any] = {}
    for executor, group in by_executor(values):
        try:
            contents = executor.read([value for _, value in group], session)
        except NoContentsError as error:
            key = next(key for key, value in group if value is error.value)
            raise ValueError(f"{shown_path(path_of_key(key))}: {error}") from error
        evaluated.update(zip((key for key, _ in group), contents, strict=True))
    if evaluated:
        values = [
            (key, _Evaluated(value, evaluated[key]) if key in evaluated else value)
            for key, value in values
        ]
    sources = cast("Sequence[tuple[str, ValueSource]]", values)  # no executor acts for the rest
    new = tuple.__new__
    return [
        _value_read_now(key, value)
        if value.dtype.hasobject or value.shape is None or None in value.shape
        else new(ValueToWrite, (key, _datatype(key, value), value.shape, read, (), value.fresh))
        for (key, value), read in zip(sources, _readers(sources), strict=True)
    ]


def _readers(values: Sequence[tuple[str, ValueSource]]) -> list[Callable[[], Any]]:
    """Returns a function for each value that reads it. Values of one `AtOnce` are read here."""
    readers: list[Callable[[], Any]] = []
    groups: dict[AtOnce, list[int]] = {}
    for position, (_, value) in enumerate(values):
        readers.append(value.read)
        if value.at_once is not None and not value.dtype.hasobject:
            groups.setdefault(value.at_once, []).append(position)
    for at_once, positions in groups.items():
        contents_of = at_once.read([values[position][1] for position in positions])
        for position, contents in zip(positions, contents_of, strict=True):
            if contents is not None:
                readers[position] = partial(_same, contents)
    return readers


class _Evaluated(ReadValue):
    """A value of graph mode with its contents."""

    __slots__ = ()

    fresh = True

    def __init__(self, value: ValueSpec, contents: Any) -> None:
        super().__init__(value.dtype, value.shape, lambda: contents)


def _value_read_now(key: str, value: ValueSource) -> ValueToWrite:
    """Reads a value whose size is not known, and returns the value to write."""
    if value.dtype == STRING:
        # The size and the shape must be known before anything is written.
        array = as_string_array(_read(key, value), key)
        _check_shape(key, value, array.shape)
        return ValueToWrite(key, DataType.DT_STRING, array.shape, lambda: array)
    if value.dtype == VARIANT:
        array = _read(key, value)
        return ValueToWrite(key, DataType.DT_VARIANT, array.shape, lambda: array)
    array = np.asarray(_read(key, value))
    return ValueToWrite(key, _datatype(key, value), array.shape, lambda: array, (), value.fresh)


def _read(key: str, value: ValueSource) -> Any:
    try:
        return value.read()
    except NoContentsError as error:
        raise ValueError(f"{shown_path(path_of_key(key))}: {error}") from error


def _datatype(key: str, value: ValueSource) -> DataType:
    try:
        return datatype_of(value.dtype)
    except CheckpointUnsupportedError as error:
        # The format does not know the key.
        raise CheckpointUnsupportedError(error.what, key=key) from None


def _check_shape(key: str, value: ValueSource, shape: tuple[int, ...]) -> None:
    if not fits(shape, value.shape):
        raise ValueError(
            f"{key}: the value declares shape {value.shape}, but its contents have {shape}"
        )
