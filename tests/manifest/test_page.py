"""docs/format.md, "Manifest": the numbers are the code's, and the words enough to verify one."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.manifest import format as numbers
from checkpointable.manifest.keys import signer_of
from tests.manifest.helpers import KEYS, PUBLIC, SECRET, manifest_of, program, read

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "format.md").read_text("utf-8").partition("\n## Manifest\n")[2]
SECTION = PAGE.partition("\n## ")[0]


def stated(name):
    (value,) = re.findall(rf"^\| {re.escape(name)} \| ([0-9]+)", SECTION, re.MULTILINE)
    return int(value)


def test_the_numbers():
    assert stated("largest manifest that is read") == numbers.MANIFEST_SIZE_MAX
    assert stated("smallest chunk") == numbers.CHUNK_SIZE_MIN
    assert stated("largest chunk") == numbers.CHUNK_SIZE_MAX
    chunk, most = stated("chunk that is written"), stated("most chunks before they become larger")
    assert numbers.chunk_size_for(chunk * most) == chunk
    assert numbers.chunk_size_for(chunk * most + 1) == 2 * chunk
    with pytest.raises(ValueError, match="too few"):
        signer_of(bytes(stated("least bytes of a secret") - 1))
    signer_of(bytes(stated("least bytes of a secret")))


def tree_hash(chunks):
    if len(chunks) < 2:
        return hashlib.sha256(*(b"\0" + chunk for chunk in chunks)).digest()
    k = 1 << (len(chunks) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree_hash(chunks[:k]) + tree_hash(chunks[k:])).digest()


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_page_is_enough(tmp_path, algorithm):
    """A verifier by the page's words, which uses nothing of ours."""
    private, _ = KEYS[algorithm]
    prefix = program(size=900_000).write(tmp_path / "cä", sign_with=private)
    contents = read(manifest_of(prefix))
    document = json.loads(contents)
    index = read(f"{prefix}.index")
    assert manifest_of(prefix).endswith(f".manifest-{hashlib.sha256(index).hexdigest()[:16]}")
    assert json.dumps(document, indent=1).encode("ascii") + b"\n" == contents
    checksum = document.pop("sha256")
    assert hashlib.sha256(json.dumps(document, indent=1).encode()).hexdigest() == checksum
    statement = document["statement"]
    signed = b"checkpointable manifest, version 1\0" + json.dumps(statement, indent=1).encode()
    signature = bytes.fromhex(document["signature"])
    if algorithm == "ed25519":
        PUBLIC.verify(signature, signed)
        key_id = hashlib.sha256(PUBLIC.public_bytes_raw())
    else:
        assert hmac.digest(SECRET, signed, "sha256") == signature
        key_id = hmac.new(SECRET, b"checkpointable manifest, version 1\0key id", "sha256")
    assert statement["key_id"] == key_id.hexdigest()[:16]
    assert statement["algorithm"] == algorithm
    assert statement["checkpoint"] == "cä"
    size = statement["chunk_size"]
    for file, leaves in zip(statement["files"], document["chunks"], strict=True):
        data = read(tmp_path / file["name"])
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        assert file["size"] == len(data)
        assert file["root"] == tree_hash(chunks).hex()
        assert leaves == "".join(tree_hash([chunk]).hex() for chunk in chunks)


def test_the_example_is_one(tmp_path):
    shown = json.loads(re.search(r"```json\n(\{.*?\n\})\n```", SECTION, re.DOTALL)[1])
    path = cp.Checkpoint(v=cp.Variable(np.float32(1))).write(tmp_path / "ck", sign_with=SECRET)
    written = json.loads(read(manifest_of(path)))
    assert list(shown) == list(written)
    assert list(shown["statement"]) == list(written["statement"])
    assert [list(file) for file in shown["statement"]["files"]] == [
        list(file) for file in written["statement"]["files"]
    ]


@pytest.mark.parametrize(
    ("page", "heading"),
    [("reliability.md", "Who wrote it"), ("managing-checkpoints.md", "Signed checkpoints")],
)
def test_the_examples_run(page, heading, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = (DOCS / page).read_text("utf-8").partition(f"\n## {heading}\n")[2]
    (example, *_) = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    names = {"cp": cp, "checkpoint": program()}
    exec(compile(example, page, "exec"), names)
    assert any(".manifest-" in name for name in os.listdir(next((tmp_path / "runs").iterdir())))
