"""The hash tree is that of RFC 6962, however it comes about."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.bundle.reading.authenticated_file import AuthenticFile
from checkpointable.bundle.writing.hashing import HashedFile, hash_file
from checkpointable.bundle.writing.values import write_values
from checkpointable.manifest import FileHashes
from checkpointable.manifest.format import CHUNK_SIZE_MAX, chunk_count, chunk_size_for
from checkpointable.manifest.tree import leaf_hash, leaf_hashes, root_hash
from checkpointable.testing import MemoryStorage
from tests.manifest.helpers import layout_of

# Inputs and roots of the reference implementation of certificate transparency.
INPUTS = [
    *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def plain_root(chunks):
    """From the RFC's own words, section 2.1."""
    if not chunks:
        return hashlib.sha256(b"").digest()
    if len(chunks) == 1:
        return hashlib.sha256(b"\0" + chunks[0]).digest()
    k = 1
    while 2 * k < len(chunks):
        k *= 2
    return hashlib.sha256(b"\1" + plain_root(chunks[:k]) + plain_root(chunks[k:])).digest()


@pytest.mark.parametrize("count", range(9))
def test_the_published_roots(count):
    leaves = b"".join(leaf_hash(bytes.fromhex(text)) for text in INPUTS[:count])
    assert root_hash(leaves).hex() == ROOTS[count]


@given(st.binary(max_size=200), st.integers(1, 20))
def test_it_is_the_plain_recomputation(data, chunk_size):
    chunks = [data[start : start + chunk_size] for start in range(0, len(data), chunk_size)]
    assert root_hash(leaf_hashes(data, chunk_size)) == plain_root(chunks)
    assert len(chunks) == chunk_count(len(data), chunk_size)


@given(st.binary(min_size=1, max_size=100), st.integers(1, 20), st.data())
def test_any_one_changed_byte_changes_the_root(data, chunk_size, choice):
    at = choice.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[at] ^= choice.draw(st.integers(1, 255))
    before, after = leaf_hashes(data, chunk_size), leaf_hashes(bytes(changed), chunk_size)
    differing = [n for n in range(0, len(before), 32) if before[n : n + 32] != after[n : n + 32]]
    assert differing == [at // chunk_size * 32]  # and says which chunk it is in
    assert root_hash(before) != root_hash(after)


SIZES = st.lists(st.integers(0, 3000) | st.integers(100_000, 400_000), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(SIZES, st.sampled_from([4096, 65536, 2**20]), st.sampled_from([1, 2, 3]), st.data())
def test_what_is_hashed_while_it_is_written_is_what_lies_there(sizes, chunk_size, threads, choice):
    """A fast path: the plain one reads the file."""
    arrays = {
        f"k{n:03}": np.arange(n, n + size).astype(np.uint8 if n % 3 else np.float64)
        for n, size in enumerate(sizes)
    }
    layout = layout_of(arrays)
    storage = MemoryStorage()
    hashed = HashedFile(storage.create("/data", layout.size), layout, chunk_size)
    cut = choice.draw(st.integers(0, len(layout.values)))  # as an asynchronous save does
    write_values(hashed, layout, stop=cut, threads=threads)
    write_values(hashed, layout, start=cut, threads=threads)
    hashed.close()
    contents = storage.contents()["/data"]
    assert hashed.leaves == leaf_hashes(contents, chunk_size)
    with storage.open("/data") as file:
        assert hash_file(file, chunk_size, threads=threads) == hashed.leaves


def test_writes_in_any_order_give_the_same_hashes():
    size = 4096 * 5 + 17
    layout = layout_of({"a": np.arange(size, dtype=np.uint8)})
    storage = MemoryStorage()
    hashed = HashedFile(storage.create("/data", size), layout, 4096)
    data = layout.values[0].value.read().tobytes()
    pieces = [(start, data[start : start + 1000]) for start in range(0, size, 1000)]
    np.random.default_rng(0).shuffle(pieces)
    threads = [
        threading.Thread(target=lambda own=own: [hashed.write_at(d, at) for at, d in own])
        for own in (pieces[0::3], pieces[1::3], pieces[2::3])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hashed.leaves == leaf_hashes(data, 4096)


def test_what_is_not_all_written_has_no_hashes():
    layout = layout_of({"a": np.zeros(10), "b": np.zeros(10)})
    storage = MemoryStorage()
    hashed = HashedFile(storage.create("/data", layout.size), layout, 4096)
    write_values(hashed, layout, stop=1)
    with pytest.raises(AssertionError, match="not everything is written"):
        _ = hashed.leaves


def test_an_authentic_file_reads_no_more_than_is_asked_for():
    storage = MemoryStorage()
    contents = np.random.default_rng(0).bytes(4096 * 6 + 5)
    storage.put("/data", contents)
    hashes = FileHashes("data", len(contents), leaf_hashes(contents, 4096))
    seen = []
    file = AuthenticFile(storage.open("/data"), hashes, 4096)
    read = file._file.read
    file._file.read = lambda offset, size: (seen.append(offset // 4096), read(offset, size))[1]
    assert bytes(file.view(4090, 10)) == contents[4090:4100]
    assert bytes(file.view(4095, 1)) == contents[4095:4096]
    assert seen == [0, 1]  # each once
    file.load(np.array([0, 5, 4 * 4096]), np.array([4096, 5, 5 * 4096]))
    assert seen == [0, 1, 4]
    assert bytes(file.map()) == contents
    assert sorted(seen) == list(range(7))
    assert file.map().readonly
    file.close()


def test_several_threads_have_one_memory(monkeypatch):
    """Both find none, and both would make one."""
    storage = MemoryStorage()
    contents = np.random.default_rng(0).bytes(4096 * 2)
    storage.put("/data", contents)
    hashes = FileHashes("data", len(contents), leaf_hashes(contents, 4096))
    file = AuthenticFile(storage.open("/data"), hashes, 4096)
    both, plain = threading.Barrier(2), np.empty

    def empty(*arguments):
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.3)
        memory = plain(*arguments)
        memory[:] = 0
        return memory

    monkeypatch.setattr("checkpointable.bundle.reading.authenticated_file.np.empty", empty)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda start: file.view(start, 4096), [0, 4096]))
    assert bytes(file.view(0, 4096 * 2)) == contents
    file.close()


@pytest.mark.parametrize(
    ("size", "chunk_size"),
    [(0, 2**20), (2**39, 2**20), (2**39 + 1, 2**21), (2**63 - 1, CHUNK_SIZE_MAX)],
)
def test_the_size_of_chunks(size, chunk_size):
    assert chunk_size_for(size) == chunk_size
