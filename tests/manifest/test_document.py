"""Manifests from anyone: each damage has its refusal, and nothing has two forms."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.manifest.document import (
    FileHashes,
    Manifest,
    decode_manifest,
    encode_manifest,
    signed_manifest,
)
from checkpointable.manifest.format import MANIFEST_SIZE_MAX
from checkpointable.manifest.keys import signer_of
from checkpointable.manifest.tree import leaf_hashes
from tests.manifest.helpers import KEYS, SECRET, encoded

FILES = (
    FileHashes("ck.index", 5000, leaf_hashes(bytes(5000), 4096)),
    FileHashes("ck.data-00000-of-00001", 9000, leaf_hashes(bytes(range(250)) * 36, 4096)),
)
PLAIN = Manifest("ck", "checkpointable", 4096, FILES, "none", "")
SIGNED = signed_manifest(PLAIN, signer_of(SECRET))
DATA = encode_manifest(SIGNED)
DOCUMENT = json.loads(DATA)


def refused(data):
    with pytest.raises(cp.CheckpointCorruptError) as caught:
        decode_manifest(data, "ck.manifest-0")
    assert caught.value.path == "ck.manifest-0"
    assert caught.value.what.startswith("the manifest cannot be used: ")
    return caught.value.what


def changed(*path, to, document=DOCUMENT):
    """The file with one member changed, its own checksum made right again."""
    document = copy.deepcopy(document)
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return encoded(document)


@pytest.mark.parametrize("key", [True, *(private for private, _ in KEYS.values())])
def test_what_is_written_is_what_is_read(key):
    manifest = signed_manifest(PLAIN, signer_of(key))
    data = encode_manifest(manifest)
    assert decode_manifest(data, "p") == manifest
    assert encoded(json.loads(data)) == data  # the tests' own encoder
    assert manifest.statement == json.dumps(json.loads(data)["statement"], indent=1).encode()


names = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(names, st.binary(max_size=9000)), max_size=4), names)
def test_any_manifest_comes_back(files, name):
    hashes = tuple(FileHashes(n, len(d), leaf_hashes(d, 4096)) for n, d in files)
    manifest = signed_manifest(Manifest(name, "w", 4096, hashes, "none", ""), signer_of(SECRET))
    assert decode_manifest(encode_manifest(manifest), "p") == manifest


def test_every_bit_counts():
    """Also those that no signature covers, and without a key."""
    for at in range(len(DATA)):
        for bit in range(8):
            flipped = bytearray(DATA)
            flipped[at] ^= 1 << bit
            with pytest.raises((cp.CheckpointCorruptError, cp.CheckpointUnsupportedError)):
                decode_manifest(bytes(flipped), "p")


def test_every_truncation_is_found():
    for size in range(len(DATA)):
        refused(DATA[:size])
    refused(DATA + b"\n")
    refused(b"\n" + DATA)


@settings(max_examples=200)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_anything_else_is_refused(data):
    refused(data)


LADDER = [
    (b"", "it is not JSON"),
    (DATA.replace(b"ck.index", b"ck.ind\xe9x"), "byte .* is not ASCII"),
    (b"\xff\xfe", "byte 0 is not ASCII"),
    (b"[" * 100_000, "it is not JSON"),
    (b'{"a":' * 100_000, "it is not JSON"),
    (b"1" * 100_000, "it is not JSON|it has no statement"),
    (b"[]", "it has no statement"),
    (b'{"statement": 1}', "it has no statement"),
    (changed("statement", "kind", to="x"), "its kind is not 'checkpointable manifest'"),
    (changed("more", to=1), "the document has the fields"),
    (changed("statement", "more", to=1), "the statement has the fields"),
    (changed("statement", "files", 0, "more", to=1), "file 0 has the fields"),
    (changed("statement", "checkpoint", to=5), "checkpoint is 5, not text"),
    (changed("statement", "writer", to=None), "writer is None, not text"),
    (changed("statement", "tree", to="md5"), "the tree 'md5' is not"),
    (changed("statement", "algorithm", to="md5"), "the algorithm 'md5' is none of"),
    (changed("statement", "algorithm", to=["ed25519"]), "algorithm is .*, not text"),
    (changed("statement", "chunk_size", to=4097), "the chunk size 4097 is not a power of two"),
    (changed("statement", "chunk_size", to=0), "the chunk size 0 is not from 4096 to 1073741824"),
    (
        changed("statement", "chunk_size", to=2048),
        "the chunk size 2048 is not from 4096 to 1073741824",
    ),
    (changed("statement", "chunk_size", to=2**31), "is not from 4096 to 1073741824"),
    (changed("statement", "chunk_size", to=4096.0), "the chunk size 4096.0 is not from 4096 to"),
    (changed("statement", "chunk_size", to=True), "the chunk size True is not from 4096 to"),
    (changed("statement", "files", to={}), "are not lists of the same length"),
    (changed("statement", "files", to=[]), "are not lists of the same length"),
    (changed("statement", "files", to=[1, 2]), "file 0 is not an object"),
    (changed("statement", "files", 0, "name", to=7), "name is 7, not text"),
    (changed("statement", "files", 0, "size", to=-1), "file 0 has the size -1"),
    (changed("statement", "files", 0, "size", to=2**63), "file 0 has the size 9223372036854775808"),
    (changed("statement", "files", 0, "size", to=10**4000), "file 0 has the size 1000"),
    (changed("statement", "files", 0, "size", to=5000.0), "file 0 has the size 5000.0"),
    (changed("statement", "files", 0, "size", to=True), "file 0 has the size True"),
    (changed("statement", "files", 0, "size", to=2**62), "file 0 has 64 bytes of hashes"),
    (changed("statement", "files", 0, "size", to=4096), "file 0 has 64 bytes of hashes"),
    (changed("statement", "files", 0, "root", to="00" * 32), "one of its hashes is wrong"),
    (changed("chunks", 0, to="zz" * 64), "the list of chunks of file 0 is not hexadecimal"),
    (changed("chunks", 0, to="A" * 128), "the list of chunks of file 0 is not hexadecimal"),
    (changed("chunks", 0, to="a" * 127), "the list of chunks of file 0 is not hexadecimal"),
    (changed("chunks", 0, to="\uff11" * 128), "the list of chunks of file 0 is not hexadecimal"),
    (changed("chunks", 0, to="00" * 64), "one of its hashes is wrong"),
    (changed("chunks", 0, to=[]), "the list of chunks of file 0 is not hexadecimal"),
    (changed("signature", to=""), "the signature has 0 bytes; one of hmac-sha256 has 32"),
    (changed("signature", to="00" * 64), "the signature has 64 bytes; one of hmac-sha256 has 32"),
    (changed("statement", "algorithm", to="ed25519"), "has 32 bytes; one of ed25519 has 64"),
    (changed("statement", "algorithm", to="none"), "has 32 bytes; one of none has 0"),
    (DATA.replace(b'"size": 5000', b'"size": NaN'), "cannot contain the number NaN"),
    (DATA.replace(b'"size": 5000', b'"size": -Infinity'), "cannot contain the number -Infinity"),
    (DATA.replace(b'"size": 5000', b'"size": 05000'), "it is not JSON"),
    # A name twice: JSON readers take one of the two, and not all the same.
    (DATA.replace(b'"size": 5000', b'"size": 1,\n    "size": 5000'), "one of its hashes is wrong"),
    (DATA.replace(b'"signature"', b'"chunks": [],\n "signature"'), "the fields|same length"),
    # The same document in other words.
    (json.dumps(DOCUMENT).encode(), "or it is not in the canonical form"),
    (DATA.replace(b"ck.index", b"ck.inde\\u0078"), "or it is not in the canonical form"),
    (DATA.replace(b'"version": 1', b'"version": true'), "or it is not in the canonical form"),
    (DATA.replace(b'"version": 1', b'"version": 1.0'), "or it is not in the canonical form"),
    (DATA.replace(b'"sha256": "', b'"sha256": "0'), "or it is not in the canonical form"),
]


@pytest.mark.parametrize(("data", "words"), LADDER, ids=range(len(LADDER)))
def test_the_ladder(data, words):
    what = refused(data)
    assert re.search(words, what), what
    assert len(what) < 800  # whatever it quotes is cut


def test_a_later_version_is_no_damage():
    with pytest.raises(cp.CheckpointUnsupportedError, match="of version 2; this program knows"):
        decode_manifest(changed("statement", "version", to=2), "p")


def test_too_large_a_file_is_not_parsed():
    assert "are allowed" in refused(b"[" * (MANIFEST_SIZE_MAX + 1))


HOSTILE = ["[[],[],", "[{},{},", "[[0],[0],", '{"ab":{},"ba":{},', '["a",1e9,', "[1,1,"]

PEAK = """
import resource, sys
from checkpointable.manifest.document import decode_manifest

start, unit = sys.argv[1][0], sys.argv[1][1:]
close = {"[": "]", "{": "}"}[start]
data = (start + unit * (8 * 2**20 // len(unit))).rstrip(",").encode() + close.encode()
if start == "{":  # each name another
    names = (f'"{n:x}":{{}}' for n in range(8 * 2**20 // 10))
    data = ("{" + ",".join(names) + "}").encode()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_manifest(data, "p")
except ValueError as error:
    assert "it has no statement" in str(error), error
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, len(data))
"""


@pytest.mark.parametrize("start", HOSTILE)
def test_memory_stays_within_its_bound(start):
    """32 times the size of the file and 64 MB, for whatever takes most room when it is parsed."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, start], capture_output=True, text=True, check=True
    )
    peak, size = map(int, done.stdout.split())
    assert size > 7 * 2**20
    assert peak < 32 * size + 64 * 2**20


def test_too_large_a_manifest_is_not_written():
    leaves = bytes(MANIFEST_SIZE_MAX // 2)
    files = (FileHashes("x", len(leaves) * 128, leaves),)
    with pytest.raises(cp.CheckpointUnsupportedError, match="are allowed"):
        encode_manifest(Manifest("ck", "w", 4096, files, "none", ""))
