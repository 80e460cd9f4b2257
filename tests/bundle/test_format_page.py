"""The numbers of docs/format.md, held against a file, and against the code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from checkpointable.bundle import format as numbers
from checkpointable.bundle.checksum import crc32c, mask
from tests.bundle.helpers import save

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text()


def stated(name):
    (value,) = re.findall(rf"^\| {re.escape(name)} \| (0x[0-9a-f]+|[0-9]+)", PAGE, re.MULTILINE)
    return int(value, 0)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    values = {f"layer{i:05d}/kernel": np.zeros(1, np.int8) for i in range(9000)}
    prefix = save(tmp_path_factory.mktemp("page") / "ck", values)
    return Path(prefix + ".index").read_bytes()


def varints(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0


def test_the_footer(index):
    footer = index[-stated("footer") :]
    handles = stated("handles and zeros in the footer")
    assert int.from_bytes(footer[handles:], "little") == stated("magic")
    trailer = stated("block trailer")
    metaindex, metaindex_size, index_at, index_size, *zeros = varints(footer[:handles])
    assert not any(zeros)
    assert metaindex_size == 8
    assert metaindex + metaindex_size + trailer == index_at
    assert index_at + index_size + trailer + len(footer) == len(index)


def test_the_blocks(index):
    _, _, index_at, index_size, *_ = varints(index[-48:-8])
    contents = index[index_at : index_at + index_size]
    count = int.from_bytes(contents[-4:], "little")
    # Of each entry of the index block, as it shares nothing: key size, value size, value.
    position, handles = 0, []
    for _ in range(count):
        shared, key_size, size = contents[position : position + 3]
        assert shared == 0
        value = position + 3 + key_size
        handles.append(tuple(varints(contents[value : value + size])))
        position = value + size
    assert position + 4 * (count + 1) == len(contents)
    assert len(handles) > 1
    before = 0
    for offset, size in handles:
        assert offset == before
        before = offset + size + stated("block trailer")
        block = index[offset : offset + size]
        checksum = int.from_bytes(index[offset + size + 1 : before], "little")
        assert checksum == mask(crc32c(block + b"\0"))
        if (offset, size) != handles[-1]:
            limit = stated("size at which a data block is closed")
            assert limit <= size < limit + 100
        restarts = int.from_bytes(block[-4:], "little")
        points = np.frombuffer(block[-4 * (restarts + 1) : -4], "<u4")
        entries = 0
        at = 0
        while at < size - 4 * (restarts + 1):
            shared, unshared, value_size = block[at : at + 3]
            if entries % stated("entries from restart point to restart point") == 0:
                assert shared == 0
                assert at in points
            at += 3 + unshared + value_size
            entries += 1


def test_the_code_has_the_pages_numbers():
    assert stated("block trailer") == numbers.BLOCK_TRAILER_SIZE
    assert stated("footer") == numbers.FOOTER_SIZE
    assert stated("handles and zeros in the footer") == numbers.FOOTER_HANDLES_SIZE
    assert stated("magic") == numbers.TABLE_MAGIC
    assert stated("added to a checksum by the mask") == numbers.CRC_MASK_DELTA
    assert stated("size at which a data block is closed") == numbers.BLOCK_SIZE
    assert stated("entries from restart point to restart point") == numbers.RESTART_INTERVAL
    assert stated("the same in the index block") == numbers.INDEX_RESTART_INTERVAL
    assert (
        f"values of\n  {numbers.ALIGNED_SIZE} bytes or more at multiples of {numbers.ALIGNMENT}"
        in PAGE
    )
    assert f"{mask(0):#010x}" in PAGE
