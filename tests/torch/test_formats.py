"""Formats are recognized by content first; one line in a table adds one (readers/opening.py)."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import checkpointable as cp
from checkpointable.readers import opening
from checkpointable.readers.foreign import ArrayReader, write_safetensors
from checkpointable.readers.formats import Format
from checkpointable.readers.opening import FORMATS
from tests.torch.foreign_files import FORMATS as WRITERS
from tests.torch.foreign_files import equal, net
from tests.v1.helpers import write_v1

ONE = {"weight": np.ones(3, np.float32)}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", ["model", "model.pt", "model.ckpt"])
def test_a_tensor_file_is_recognized_under_any_name(tmp_path, write, name):
    model = net()
    path = tmp_path / "elsewhere" / name
    path.parent.mkdir()
    shutil.move(write(tmp_path / "model", model), path)
    other = net()
    cp.Checkpoint(model=other).restore(path).run_restore_ops()
    assert equal(model, other)


@pytest.mark.parametrize("write", WRITERS[1:])
def test_a_file_of_torch_that_torch_would_take_for_safetensors_is_told(tmp_path, write):
    path = tmp_path / "model.safetensors"
    shutil.move(write(tmp_path / "m", net()), path)
    with pytest.raises(cp.CheckpointUnsupportedError, match=r"a file of torch\.save.* rename it"):
        cp.load_checkpoint(path)


def test_an_index_of_several_files_is_recognized_under_any_name(tmp_path):
    write_safetensors(str(tmp_path / "a.safetensors"), ONE)
    index = {"metadata": {}, "weight_map": {"weight": "a.safetensors"}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    with cp.load_checkpoint(tmp_path / "index.json") as reader:
        assert reader.keys() == ["weight"]


def test_a_v1_file_is_recognized_under_any_name(tmp_path):
    path = write_v1(tmp_path / "model.safetensors", ONE)
    with cp.load_checkpoint(path) as reader:
        assert reader.kind == "name-based"
        assert reader.keys() == ["weight"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("m.safetensors", "its header should have"),
        ("m.safetensors.index.json", "it is not an index of tensor files"),
        ("m.ckpt", "the file ends with 0xffffffffffffffff, but a V1 checkpoint"),
    ],
)
def test_a_file_of_no_format_is_opened_as_what_its_name_says(tmp_path, name, what):
    (tmp_path / name).write_bytes(b"\xff" * 100)
    with pytest.raises(cp.CheckpointCorruptError, match=what):
        cp.load_checkpoint(tmp_path / name)


def test_a_checkpoint_comes_first(tmp_path):
    cp.Checkpoint(v=cp.Variable(1.0)).write(tmp_path / "m")
    torch.save(net().state_dict(), tmp_path / "m")
    with cp.load_checkpoint(tmp_path / "m") as reader:
        assert reader.kind == "object-based"


def test_one_line_adds_a_format(tmp_path, monkeypatch):
    def open_csv(candidate, options):
        with candidate.storage.open(candidate.path) as file:
            lines = file.read(0, file.size).decode().splitlines()[1:]
        rows = (line.split(",") for line in lines)
        return ArrayReader(candidate.path, {row[0]: np.array(row[1:], "f4") for row in rows})

    csv = Format("a table", lambda candidate: candidate.start.startswith(b"#csv"), open_csv)
    monkeypatch.setattr(opening, "FORMATS", (*FORMATS[:1], csv, *FORMATS[1:]))
    path = tmp_path / "x.csv"
    path.write_text("#csv\nweight,1,2,3\nbias,4\n")
    with cp.load_checkpoint(path) as reader:
        assert reader.keys() == ["bias", "weight"]
        assert reader.get_tensor("weight").tolist() == [1, 2, 3]
    variable = cp.Variable(np.zeros(3, np.float32), name="weight")
    cp.Saver([variable]).restore(path)
    assert variable.numpy().tolist() == [1, 2, 3]


def test_the_names_of_formats_are_different():
    assert len({known.name for known in FORMATS}) == len(FORMATS)
