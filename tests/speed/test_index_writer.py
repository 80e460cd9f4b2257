"""The index that is encoded many entries at a time is the one made entry by entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.bundle.dtypes import DataType
from checkpointable.bundle.index.entry import encode_fields
from checkpointable.bundle.index.header import Header, encode_header
from checkpointable.bundle.index.table_writer import TableBuilder
from checkpointable.bundle.writing.index import encode_layout
from checkpointable.bundle.writing.layout import Layout, PlacedValue, ValueToWrite


def plainly(header, layout, block_size):
    table = TableBuilder(block_size)
    table.add(b"", encode_header(header))
    for placed in layout.values:
        value = placed.value
        table.add(
            placed.key,
            encode_fields(value.dtype, value.shape, 0, placed.offset, placed.size, placed.crc),
        )
    return table.finish()


def placed_value(key, dtype, shape, offset, size, crc):
    return PlacedValue(ValueToWrite("", dtype, shape, lambda: None), key, offset, size, None, crc)


numbers = st.one_of(st.integers(0, 300), st.integers(0, 2**62))
fields = st.tuples(
    st.sampled_from([DataType.DT_FLOAT, DataType.DT_STRING, DataType.DT_INT64, DataType(126)]),
    st.lists(numbers, max_size=3).map(tuple),
    numbers,
    numbers,
    st.integers(0, 2**32 - 1) | st.just(0),
)
# Keys that share much, little and all of one another, NULs and bytes above ASCII among them.
keys = st.lists(
    st.lists(st.sampled_from([b"a", b"\0", b"layer/", b"\xff", b"0123456789" * 15]), max_size=4)
    .map(b"".join)
    .filter(len),
    min_size=60,
    max_size=160,
    unique=True,
)


@given(keys, st.lists(fields, min_size=1, max_size=8), st.sampled_from([1, 40, 600, 5000, 2**18]))
def test_the_bytes_are_the_same(found, chosen, block_size):
    values = [placed_value(key, *chosen[i % len(chosen)]) for i, key in enumerate(sorted(found))]
    layout, header = Layout(values, 0), Header(num_shards=2)
    assert encode_layout(header, layout, block_size) == plainly(header, layout, block_size)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 9000, 30_000])
def test_of_any_number_of_values(count):
    keys = sorted(f"model/layers/{i}/.ATTRIBUTES/VARIABLE_VALUE".encode() for i in range(count))
    values = [
        placed_value(key, DataType.DT_FLOAT, (i % 5, 3), 60 * i, 60, (i * 2654435761) % 2**32)
        for i, key in enumerate(keys)
    ]
    layout, header = Layout(values, 0), Header()
    for block_size in (2**18, 2**22):
        assert encode_layout(header, layout, block_size) == plainly(header, layout, block_size)
