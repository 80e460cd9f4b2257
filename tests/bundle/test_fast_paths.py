"""Gathered, chunked, staged and parallel: whatever the limits, the same as value by value."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.bundle import (
    BundleReader,
    BundleWriter,
    DataType,
    Staging,
    StagingMemory,
    ValueToWrite,
    make_layout,
    write_bundle,
)
from checkpointable.bundle.strings import EncodedStrings, encode_strings
from checkpointable.errors import CheckpointCorruptError
from tests.bundle.helpers import CHUNK_SIZES, REPEATABLE, same
from tests.bundle.test_round_trip import arrays as small_arrays
from tests.bundle.test_round_trip import as_stored, string_values

ENDINGS = (".index", ".data-00000-of-00001")


@st.composite
def larger_arrays(draw):
    """Of some hundred bytes, contiguous or not: more than the chunks below."""
    shape = draw(st.sampled_from([(90,), (7, 13), (2, 3, 11), (1, 64), (64, 1)]))
    dtype = draw(st.sampled_from(["u1", "<i2", ">i4", "f4", "c16"]))
    layout = draw(st.sampled_from(["C", "F", "strided"]))
    array = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 99, shape).astype(dtype)
    if layout == "F":
        array = np.asfortranarray(array)
    elif layout == "strided":
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    kinds = {"u1": DataType.DT_UINT8, "i2": DataType.DT_INT16, "i4": DataType.DT_INT32}
    kinds |= {"f4": DataType.DT_FLOAT, "c16": DataType.DT_COMPLEX128}
    return kinds[dtype.strip("<>")], array


programs = st.dictionaries(
    st.text("abc/", min_size=1, max_size=5),
    st.one_of(small_arrays(), larger_arrays(), string_values),
    min_size=1,
    max_size=9,
)
limits = st.fixed_dictionaries(
    {
        "chunk": st.sampled_from([16, 64, 300, 2**20]),  # no less than an element
        "gathered": st.sampled_from([1, 50, 200, 2**17]),
        "joined": st.sampled_from([0, 30, 2**16]),
        "piece": st.sampled_from([1, 7, 100, 2**20]),
        "small": st.sampled_from([-1, 40, 2**16]),
        "parallel": st.sampled_from([0, 2**20]),
        "threads": st.sampled_from([1, 3]),
    }
)


@contextmanager
def limited(to):
    with pytest.MonkeyPatch.context() as patch:
        for name in CHUNK_SIZES:
            patch.setattr(f"checkpointable.bundle.{name}", to["chunk"])
        patch.setattr("checkpointable.bundle.writing.values.GATHERED_SIZE", to["gathered"])
        patch.setattr("checkpointable.bundle.writing.layout._JOINED_SIZE", to["joined"])
        patch.setattr("checkpointable.bundle.strings._PIECE_SIZE", to["piece"])
        patch.setattr("checkpointable.bundle.parallel._PARALLEL_SIZE", to["parallel"])
        patch.setattr("checkpointable.bundle.reading.values._SMALL", to["small"])
        patch.setattr("checkpointable.bundle.writing.staging._COPY_SIZE", to["chunk"])
        patch.setattr("checkpointable.bundle.writing.staging._GROUP_SIZE", to["gathered"])
        yield


def values_to_write(values):
    return [
        ValueToWrite(key, kind, array.shape, lambda array=array: array)
        for key, (kind, array) in values.items()
    ]


def contents(prefix):
    return [Path(f"{prefix}{ending}").read_bytes() for ending in ENDINGS]


RUN = settings(REPEATABLE, max_examples=80)


@RUN
@given(st.lists(st.binary(max_size=20), max_size=30), st.sampled_from([1, 2, 7, 19, 100]))
def test_strings_in_pieces(elements, piece):
    data, crc = encode_strings(elements)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("checkpointable.bundle.strings._PIECE_SIZE", piece)
        encoded = EncodedStrings(elements)
        pieces = list(map(bytes, encoded.pieces()))
    assert b"".join(pieces) == data
    assert (encoded.crc, encoded.size) == (crc, len(data))
    assert all(len(one) <= piece for one in pieces)


@RUN
@given(programs, limits)
def test_the_files_are_those_of_one_write_a_value(tmp_path_factory, values, to):
    directory = tmp_path_factory.mktemp("w")
    one_by_one = {**to, "chunk": 2**20, "gathered": 0, "joined": 2**20, "threads": 1}
    with limited(one_by_one):
        write_bundle(directory / "plain", values_to_write(values), durability="flush", threads=1)
    with limited(to):
        write_bundle(
            directory / "quick", values_to_write(values), durability="flush", threads=to["threads"]
        )
    assert contents(directory / "quick") == contents(directory / "plain")


@RUN
@given(programs, limits, st.none() | st.integers(0, 2000))
def test_the_files_are_those_of_a_save_that_waits(tmp_path_factory, values, to, limit):
    directory = tmp_path_factory.mktemp("a")
    write_bundle(directory / "plain", values_to_write(values), durability="flush")
    own = {
        key: (kind, np.array(array, subok=False, order="K"))
        for key, (kind, array) in values.items()
    }
    memory = StagingMemory()
    with limited(to):
        layout = make_layout(values_to_write(own))
        staging = Staging(layout, limit)
        with BundleWriter(directory / "quick", layout, "flush") as writer:
            writer.write(staging.direct)
            staging.copy(memory, to["threads"])
            for _, array in own.values():  # the program goes on
                array[...] = b"other" if array.dtype.hasobject else 0
            writer.write()
            writer.publish()
    assert limit is None or memory.size <= limit
    assert contents(directory / "quick") == contents(directory / "plain")


def target(draw, reader, key):
    """An array to read a value into, contiguous or not."""
    shape, dtype = reader.shape(key), reader.dtype(key)
    layout = draw(st.sampled_from(["C", "F", "strided", "reversed"]))
    if layout == "strided" and shape:
        return np.zeros((*shape[:-1], shape[-1] * 2), dtype)[..., ::2]
    if layout == "reversed" and shape:
        return np.zeros(shape, dtype)[::-1]
    return np.zeros(shape, dtype, order="F" if layout == "F" else "C")


@RUN
@given(programs, limits, st.sampled_from([False, True, "stream"]), st.data())
def test_many_are_read_as_one_is(tmp_path_factory, values, to, verify, data):
    prefix = tmp_path_factory.mktemp("r") / "ck"
    write_bundle(prefix, values_to_write(values), durability="flush")
    chosen = data.draw(st.lists(st.sampled_from(sorted(values)), unique=True))
    with limited(to), BundleReader(prefix) as reader:
        into = {key: target(data.draw, reader, key) for key in chosen}
        reader.read_into(into.items(), verify, to["threads"])
        reader.check(chosen, to["threads"])
        for key in chosen:
            wanted = as_stored(*values[key])
            assert same(into[key], wanted)
            assert same(reader.get_tensor(key), wanted)


@RUN
@given(programs, limits, st.data())
def test_damage_is_found_in_many_as_in_one(tmp_path_factory, values, to, data):
    prefix = tmp_path_factory.mktemp("d") / "ck"
    write_bundle(prefix, values_to_write(values), durability="flush")
    file = Path(f"{prefix}{ENDINGS[1]}")
    stored = bytearray(file.read_bytes())
    if not stored:
        return
    for _ in range(data.draw(st.integers(1, 3))):
        stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(stored)

    def damage(use):
        try:
            use()
        except CheckpointCorruptError as error:
            return error.key, error.offset, error.what
        return None

    with BundleReader(prefix) as reader:
        alone = {key: damage(lambda key=key: list(reader_rows(reader, key))) for key in values}
    bad = {key for key, found in alone.items() if found is not None}
    with limited(to), BundleReader(prefix) as reader:
        assert {d.key for d in reader.verify()} - {None} == bad
        for key in values:
            found = damage(lambda key=key: reader.get_tensor(key))
            assert found == alone[key]
        for verify in (True, "stream"):
            into = {key: np.zeros(reader.shape(key), reader.dtype(key)) for key in values}
            found = damage(lambda v=verify, i=into: reader.read_into(i.items(), v, to["threads"]))
            if found is None:
                assert not bad
            elif found[0] is not None:  # None: a gap between values
                assert found == alone[found[0]]
            if bad:
                assert found is not None


def reader_rows(reader, key):
    """Verifies one value by itself, and nothing else of the file."""
    reader._values.verify([reader._contents.row(key)], threads=1)
    yield key
