"""Files of tensors as files: what they may hold, how they are read, converted and refused (S38)."""

from __future__ import annotations

import json
import struct
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

import checkpointable as cp
from checkpointable.cli.app import app
from checkpointable.readers.foreign import write_safetensors
from tests.torch.foreign_files import FORMATS, as_zip, equal, net


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_no_code_of_a_file_runs(tmp_path, capsys):
    torch.save({"weight": torch.ones(1), "x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(cp.CheckpointUnsupportedError, match="only pickle could load"):
        cp.Checkpoint(model=net()).restore(tmp_path / "evil.pt")
    assert "run" not in capsys.readouterr().out


def test_a_nested_state_dict_has_names_joined_by_dots(tmp_path):
    torch.save({"model": net().state_dict(), "epoch": 3}, tmp_path / "run.pt")
    assert "model.0.weight" in cp.load_checkpoint(tmp_path / "run.pt")


def header(entries: object, data: bytes = b"") -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("contents", "what"),
    [
        (b"", "first 8 bytes"),
        (b"\0" * 7, "first 8 bytes"),
        (struct.pack("<Q", 100), "header should have 100 bytes"),
        (struct.pack("<Q", 2**63), "header should have"),
        (header(b"{"), "not JSON"),
        (header([1]), "a list"),
        (header({"a": {}}), "missing"),
        (header({"a": {**F32, "shape": [-1]}}, bytes(4)), "the wrong form"),
        (header({"a": {**F32, "shape": [True]}}, bytes(4)), "the wrong form"),
        (header({"a": {**F32, "data_offsets": [4, 8]}}, bytes(8)), "begins at 4"),
        (header({"a": F32}, bytes(3)), "have 4 bytes, but the file has 3"),
        (header({"a": F32}, bytes(5)), "have 4 bytes, but the file has 5"),
        (header({"a": {**F32, "shape": [2]}}, bytes(4)), "takes 8 bytes"),
    ],
)
def test_damaged_files_are_told(tmp_path, contents, what):
    path = tmp_path / "model.safetensors"
    path.write_bytes(contents)
    with pytest.raises(cp.CheckpointCorruptError, match=what):
        cp.load_checkpoint(path)


def test_a_dtype_without_a_place_is_told_when_it_is_asked_for(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(header({"a": {**F32, "dtype": "F8_E8M0", "data_offsets": [0, 1]}}, b"\0"))
    reader = cp.load_checkpoint(path)
    with pytest.raises(cp.CheckpointUnsupportedError, match="F8_E8M0"):
        reader.dtype("a")


@pytest.mark.parametrize(
    "dtype",
    [torch.bool, torch.int64, torch.bfloat16, torch.float8_e5m2, torch.float64, torch.uint16],
)
def test_files_that_are_written_are_read_by_the_reference(tmp_path, dtype):
    tensors = {"a": torch.tensor([1, 0, 1]).to(dtype), "b": torch.ones(()), "c": torch.ones(0, 2)}
    saved = cp.Checkpoint(**tensors).write(tmp_path / "ckpt")
    with cp.load_checkpoint(saved) as reader:
        arrays = {k[0]: reader.get_tensor(k) for k in reader.keys() if "VARIABLE" in k}
    write_safetensors(str(tmp_path / "x.safetensors"), arrays)
    loaded = safetensors.torch.load_file(tmp_path / "x.safetensors")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name].float(), tensor.float())
    again = cp.load_checkpoint(tmp_path / "x.safetensors")
    assert np.array_equal(again.get_tensor("a"), arrays["a"])


def convert(*arguments: object):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


@pytest.mark.parametrize("write", FORMATS)
def test_convert_there_and_back(tmp_path, write):
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    path = cp.Checkpoint(model=model, optimizer=optimizer).save(tmp_path / "run" / "ckpt")
    done = convert(path, tmp_path / "model.safetensors")
    assert done.exit_code == 0, done.output
    loaded = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in model.state_dict().items())
    done = convert(write(tmp_path / "again", model), tmp_path / "back" / "ckpt")
    assert done.exit_code == 0, done.output
    other = net()
    status = cp.Checkpoint(model=other).read(tmp_path / "back" / "ckpt")
    status.assert_consumed()
    assert equal(model, other)


def test_convert_with_a_prefix(tmp_path):
    one, other = net(), net()
    path = cp.Checkpoint(one=one, other=other).write(tmp_path / "ckpt")
    assert "two values have the name" in convert(path, tmp_path / "x.safetensors").output
    assert not (tmp_path / "x.safetensors").exists()
    assert convert(path, tmp_path / "x.safetensors", "--module", "other").exit_code == 0
    loaded = safetensors.torch.load_file(tmp_path / "x.safetensors")
    assert torch.equal(loaded["0.weight"], other[0].weight)
    done = convert(tmp_path / "x.safetensors", tmp_path / "back", "--module", "nets/0")
    assert done.exit_code == 0, done.output
    again = net()
    cp.Checkpoint(nets=[again]).read(tmp_path / "back").assert_consumed()
    assert equal(again, other)
    assert convert(path, tmp_path / "nothing").exit_code == 1
    assert convert(tmp_path / "x.safetensors", tmp_path / "y.safetensors").exit_code == 1


@pytest.mark.parametrize("write", FORMATS)
def test_a_file_of_tensors_is_read_by_its_names(tmp_path, write):
    model = net()
    path = write(tmp_path / "model", model)
    state = model.state_dict()
    assert cp.list_variables(path) == sorted((k, tuple(v.shape)) for k, v in state.items())
    for mmap in (False, True, "c"):
        with cp.load_checkpoint(path, mmap=mmap) as reader:
            assert reader.keys() == sorted(state)
            weight = reader.get_tensor("0.weight")
            assert np.array_equal(weight, state["0.weight"].numpy())
            assert weight.flags.writeable is (mmap is not True)
            assert np.array_equal(reader.get_slice("0.weight", 0), state["0.weight"][0].numpy())
            with pytest.raises(cp.CheckpointNotFoundError, match=r"similar ones are '0\.weight'"):
                reader.get_tensor("0.weigth")
    with pytest.raises(ValueError, match="mmap is 'w'"):
        cp.load_checkpoint(path, mmap="w")  # type: ignore[arg-type]
    with pytest.raises(cp.CheckpointUnsupportedError, match="name-based"):
        cp.object_metadata(path)
    with pytest.raises(cp.CheckpointUnsupportedError, match="file of tensors"):
        cp.Checkpoint(model=model).plan(path)
    assert cp.compare_checkpoints(path, path).equal


def test_a_checkpoint_of_the_same_name_comes_first(tmp_path):
    path = as_zip(tmp_path / "model", net())
    assert cp.Checkpoint(v=cp.Variable(3)).write(path) == path
    assert [key for key, _ in cp.list_variables(path) if key[0] != "_"] == [
        "v/.ATTRIBUTES/VARIABLE_VALUE"
    ]
    again = cp.Checkpoint(v=cp.Variable(0))
    again.read(path).assert_consumed()
    assert int(again.v) == 3


def test_a_saver_takes_a_file_of_tensors(tmp_path):
    path = tmp_path / "m.safetensors"
    write_safetensors(str(path), {"a": np.arange(3.0)})
    a = cp.Variable(np.zeros(3), name="a")
    cp.Saver([a]).restore(path)
    assert a.numpy().tolist() == [0, 1, 2]


def test_a_tensor_without_a_place_is_listed_all_the_same(tmp_path):
    header = {"a": {"dtype": "F4", "shape": [2, 2], "data_offsets": [0, 2]}}
    text = json.dumps(header).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0\0")
    assert cp.list_variables(path) == [("a", (2, 2))]
    words = "a checkpoint cannot store its dtype F4"
    with cp.load_checkpoint(path) as reader, pytest.raises(cp.CheckpointError, match=words):
        reader.get_tensor("a")
    result = CliRunner().invoke(app, ["ls", str(path)])
    assert result.stdout == "a\tf4\t(2, 2)\t2\n"


@pytest.mark.parametrize("write", FORMATS)
def test_the_commands_take_a_file_of_tensors(tmp_path, write):
    path = write(tmp_path / "model", net())
    run = CliRunner().invoke
    assert "0.weight\tfloat32\t(3, 2)\t24\n" in run(app, ["ls", path]).stdout
    assert "2.weight" in run(app, ["show", path]).stdout
    shown = json.loads(run(app, ["show", path, "0.weight", "--json"]).stdout)
    has_checksums = write is as_zip
    assert [(v["elements"], v["verified"]) for v in shown["values"]] == [(6, has_checksums)]
    verified = run(app, ["verify", path])
    if has_checksums:
        assert (verified.exit_code, "OK: 9 values, 108 bytes" in verified.stdout) == (0, True), (
            verified.output
        )
    else:
        assert (verified.exit_code, "it has no checksums" in verified.stderr) == (1, True)
    assert run(app, ["diff", path, path]).exit_code == 0
    for command, words in [
        (["rename", path, str(tmp_path / "out"), "0.weight=w"], "convert"),
        (["reencode", path, str(tmp_path / "out")], "convert"),
    ]:
        result = run(app, command)
        assert (result.exit_code, words in result.stderr) == (1, True), result.output


# S33
@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5 file"),
        (b"GGUF" + bytes(600), "GGUF file"),
        (b"\x93NUMPY\x01\x00" + bytes(100), "numpy.save:"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, start, words):
    path = tmp_path / "file"
    path.write_bytes(start)
    model = cp.Checkpoint(v=cp.Variable(0))
    for call in (cp.load_checkpoint, cp.list_variables, model.restore, model.plan):
        with pytest.raises(cp.CheckpointUnsupportedError, match=words):
            call(path)


def test_archives_of_another_kind_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(3))
    with pytest.raises(cp.CheckpointUnsupportedError, match=r"numpy\.savez"):
        cp.list_variables(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    with pytest.raises(cp.CheckpointUnsupportedError, match=r"keras\.saving\.load_model"):
        cp.list_variables(tmp_path / "m.keras")
    torch.save(net(), tmp_path / "whole.pt")
    with pytest.raises(
        cp.CheckpointUnsupportedError, match=r"Sequential\): .*safe_globals.*; torch"
    ):
        cp.list_variables(tmp_path / "whole.pt")
