"""Numbers, checksums and keys as bytes, against published vectors and other encoders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.bundle.checksum import combine, crc32c, mask, unmask
from checkpointable.bundle.index.table_writer import (
    common_prefix_size,
    short_successor,
    shortest_separator,
)
from checkpointable.bundle.slices import slice_key
from checkpointable.wire.varints import Malformed, decode_varint, encode_varint
from tests.bundle.helpers import REPEATABLE

# The protocol buffers documentation's examples, and the ends of each length.
VARINTS = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "8001"),
    (150, "9601"),
    (300, "ac02"),
    (2**32 - 1, "ffffffff0f"),
    (2**63 - 1, "ffffffffffffffff7f"),
    (2**64 - 1, "ffffffffffffffffff01"),
]


@pytest.mark.parametrize(("value", "encoded"), VARINTS)
def test_varint_vectors(value, encoded):
    data = bytes.fromhex(encoded)
    assert encode_varint(value) == data
    assert decode_varint(data, 0, len(data), minimal=True) == (value, len(data))


@pytest.mark.parametrize(("value", "encoded"), VARINTS)
def test_a_varint_cut_short_is_malformed(value, encoded):
    data = bytes.fromhex(encoded)
    for size in range(len(data)):
        with pytest.raises(Malformed, match="runs over the end"):
            decode_varint(data, 0, size)


def test_varints_of_the_wrong_size_are_malformed():
    with pytest.raises(Malformed, match="more than 10 bytes"):
        decode_varint(b"\x80" * 11, 0, 11)
    with pytest.raises(Malformed, match="64 bits"):
        decode_varint(b"\xff" * 9 + b"\x02", 0, 10)
    with pytest.raises(Malformed, match="32 bits"):
        decode_varint(encode_varint(2**32), 0, 5, bits=32)
    with pytest.raises(Malformed, match="longer than its value needs"):
        decode_varint(b"\x80\x00", 0, 2, minimal=True)
    assert decode_varint(b"\x80\x00", 0, 2) == (0, 2)


# RFC 3720, appendix B.4, and the check value of the CRC catalogue.
@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c_vectors(data, crc):
    assert crc32c(data) == crc
    assert unmask(mask(crc)) == crc
    assert mask(crc) != crc


def test_the_masked_checksum_of_nothing():
    assert mask(0) == 0xA282EAD8


@REPEATABLE
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_checksums_combine(a, b):
    assert combine(crc32c(a), crc32c(b), len(b)) == crc32c(a + b) == crc32c(b, crc32c(a))


@pytest.mark.parametrize("size", [0, 1, 2**21, 2**21 + 1, 2**24 - 3])
def test_checksums_combine_over_large_sizes(size):
    tail = bytes(size)
    assert combine(crc32c(b"head"), crc32c(tail), size) == crc32c(tail, crc32c(b"head"))


@REPEATABLE
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_common_prefix_size(a, b):
    size = common_prefix_size(a, b)
    assert a[:size] == b[:size]
    assert a[size : size + 1] != b[size : size + 1] or size == len(a) == len(b)


@REPEATABLE
@given(st.binary(max_size=12), st.binary(max_size=12))
def test_separators_separate(a, b):
    start, limit = sorted((a, b))
    assert start <= shortest_separator(start, limit)
    if start < limit:
        assert shortest_separator(start, limit) < limit
    assert short_successor(start) >= start


def test_separator_vectors():
    assert shortest_separator(b"abcdefg", b"abzz") == b"abd"
    assert shortest_separator(b"abc", b"abcd") == b"abc"
    assert shortest_separator(b"ab1", b"ab2") == b"ab1"
    assert short_successor(b"zebra") == b"{"
    assert short_successor(b"\xff\xffa") == b"\xff\xffb"
    assert short_successor(b"\xff\xff") == b"\xff\xff"


def test_the_key_of_a_part():
    # As TensorFlow stores them; test_tensorflow.py reads keys of all sizes from its files.
    assert slice_key("w", ((0, 3), (0, 2))) == b"\0w\0\1\1\2\x80\x83\x80\x82"
    assert slice_key("w", ((0, -1), (2, 2))) == b"\0w\0\1\1\2\x80\x7f\x82\x82"
    assert slice_key("v\0", ((64, 8192),)) == b"\0v\0\xff\0\1\1\1\xc0\x40\xe0\x20\0"
