"""Programs that are saved with a manifest, keys, and ways to tamper with files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import checkpointable as cp
from checkpointable.bundle import ValueToWrite, datatype_of, make_layout
from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.bundle.writing.index import encode_index
from checkpointable.manifest.document import decode_manifest

SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(1, 33))
PRIVATE = Ed25519PrivateKey.from_private_bytes(SECRET)
PUBLIC = PRIVATE.public_key()
OTHER_PRIVATE = Ed25519PrivateKey.from_private_bytes(OTHER_SECRET)

# (what signs, what verifies), by the name of the algorithm
KEYS = {"hmac-sha256": (SECRET, SECRET), "ed25519": (PRIVATE, PUBLIC)}


def private_pem(key=PRIVATE):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key=PUBLIC):
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def program(value=1, size=1000):
    return cp.Checkpoint(
        kernel=cp.Variable(np.full(size, value, np.int32)),
        names=cp.Variable(np.array([b"a", b"bc"], object), dtype="string"),
        state=cp.JSONState({"value": value}),
    )


def held(checkpoint):
    """The value of a program, the same everywhere in it."""
    array = checkpoint.kernel.numpy()
    assert (array == array[0]).all()
    assert checkpoint.state["value"] == array[0]
    return int(array[0])


def data_of(prefix):
    directory, base = os.path.split(prefix)
    (name,) = (n for n in os.listdir(directory) if n.startswith(f"{base}.data-"))
    return os.path.join(directory, name)


def manifest_of(prefix):
    directory, base = os.path.split(prefix)
    (name,) = (n for n in os.listdir(directory) if n.startswith(f"{base}.manifest-"))
    return os.path.join(directory, name)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, contents):
    """Puts a new file in the place of the old one."""
    with open(f"{path}.new", "wb") as file:
        file.write(contents)
    os.replace(f"{path}.new", path)


def decoded(prefix):
    path = manifest_of(prefix)
    return decode_manifest(read(path), path)


def document(prefix):
    return json.loads(read(manifest_of(prefix)))


def encoded(tampered):
    """A document as a file, its own checksum made right: what somebody without the key can do."""
    rest = {name: part for name, part in tampered.items() if name != "sha256"}
    rest["sha256"] = hashlib.sha256(json.dumps(rest, indent=1).encode()).hexdigest()
    return json.dumps(rest, indent=1).encode() + b"\n"


def copy(prefix, target):
    """Copies a checkpoint to another prefix, manifest included."""
    directory, base = os.path.split(prefix)
    for name in os.listdir(directory):
        if name.startswith(f"{base}."):
            shutil.copyfile(os.path.join(directory, name), f"{target}{name[len(base) :]}")
    return str(target)


def forge(prefix, key="kernel/.ATTRIBUTES/VARIABLE_VALUE"):
    """Changes a value in the files, and makes every CRC right again: no checksum finds it."""
    with cp.load_checkpoint(prefix) as reader:
        header, entries = reader.header, reader.raw_entries()
        entry = reader.entry(key)
    contents = bytearray(read(data_of(prefix)))
    contents[entry.offset] ^= 1
    write(data_of(prefix), bytes(contents))
    value = bytes(contents[entry.offset : entry.offset + entry.size])
    forged = [
        (k, type(e)(e.dtype, e.shape, e.shard, e.offset, e.size, mask(crc32c(value)), e.slices))
        if k == key
        else (k, e)
        for k, e in entries
    ]
    write(f"{prefix}.index", encode_index(header, forged))


def layout_of(arrays):
    def value(key, array):
        return ValueToWrite(key, datatype_of(array.dtype), array.shape, lambda: array)

    return make_layout([value(key, array) for key, array in arrays.items()])


def refused(prefix, error, match, key=SECRET):
    """Every way to read it refuses, and nothing has changed."""
    checkpoint = program(0)
    for restore in (
        checkpoint.read,
        checkpoint.restore,
        cp.CheckpointableSaver(checkpoint).restore,
    ):
        with pytest.raises(error, match=match):
            restore(prefix, trusted_key=key)
        assert held(checkpoint) == 0
    with pytest.raises(error, match=match):
        cp.verify_manifest(prefix, key)
    with pytest.raises(error, match=match):
        read_all(prefix, key)


def read_all(prefix, key):
    with cp.load_checkpoint(prefix, trusted_key=key) as reader:
        return [reader.get_tensor(name) for name in reader.keys()]
