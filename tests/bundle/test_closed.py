"""A reader that was closed says so: nothing of the checkpoint is damaged, or gone."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy
import torch

import checkpointable as cp
from checkpointable.bundle import write_bundle
from tests.bundle.helpers import values_to_write
from tests.v1.helpers import write_v1

VALUES = {"text": np.array([b"a", b"bc"], object), "x": np.arange(5.0)}


def bundle(path):
    write_bundle(
        path, values_to_write({**VALUES, "none": np.zeros((0, 3), "f4")}), durability="flush"
    )
    return path


def signed(path):
    checkpoint = cp.Checkpoint(x=cp.Variable(VALUES["x"]))
    return checkpoint.write(path, durability="flush", sign_with=b"k" * 32)


def safetensors_file(path):
    safetensors.numpy.save_file({"x": VALUES["x"]}, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def torch_file(path):
    torch.save({"x": torch.arange(5.0)}, path)
    return path


MAKE = {
    "bundle": bundle,
    "signed": signed,
    "v1": lambda path: write_v1(path, {"text": [b"a", b"bc"], "x": VALUES["x"]}),
    "safetensors": safetensors_file,
    "torch": torch_file,
}
USES = {
    "get_tensor": lambda reader, key: reader.get_tensor(key),
    "get_slice": lambda reader, key: reader.get_slice(key, ...),
    "check": lambda reader, key: reader.check([key]),
    "read_into": lambda reader, key: reader.read_into(
        [(key, np.zeros(reader.shape(key), reader.dtype(key)))]
    ),
    "verify": lambda reader, key: reader.verify(),
}


@pytest.mark.parametrize("mmap", [False, True, "c"])
@pytest.mark.parametrize("make", MAKE)
def test_a_closed_reader_says_so(tmp_path, make, mmap):
    path = MAKE[make](tmp_path / "ck")
    key = b"k" * 32 if make == "signed" else None
    with cp.load_checkpoint(path, mmap=mmap, trusted_key=key) as reader:
        keys = reader.keys()
        held = [reader.get_tensor(key) for key in keys]
        kept = [bytes(np.asarray(one)) for one in held]
    reader.close()  # twice is once
    assert reader.keys() == keys
    for key in keys:
        for use in USES.values():
            with pytest.raises(ValueError, match="the reader was closed; open") as caught:
                use(reader, key)
            assert not isinstance(caught.value, cp.CheckpointError)
    assert [bytes(np.asarray(one)) for one in held] == kept
