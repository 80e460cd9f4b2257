"""Each record of a `torch.save` file has a CRC-32, which `torch.load` does not check; we do."""

from __future__ import annotations

import gc
import json
import zipfile

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import checkpointable as cp
from checkpointable.cli.app import app


@pytest.fixture(autouse=True)
def collected():
    """Errors keep statuses of restores that failed; their warnings belong to this test."""
    yield
    gc.collect()


def net(size=50):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(size, size), nn.Linear(size, 3))


def saved(path, model=None):
    torch.save((model or net()).state_dict(), path)
    return path


def data_offset(path, member):
    with open(path, "rb") as file:
        file.seek(member.header_offset + 26)
        lengths = file.read(4)
    return member.header_offset + 30 + lengths[0] + 256 * lengths[1] + lengths[2] + 256 * lengths[3]


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 4]))


def tensor_members(path):
    with zipfile.ZipFile(path) as archive:
        return [member for member in archive.infolist() if "/data/" in member.filename]


def zeros():
    model = net()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


@pytest.mark.parametrize("position", ["first", "middle", "last"])
@pytest.mark.parametrize("number", range(4))
def test_a_damaged_record_is_found_and_named(tmp_path, number, position):
    path = saved(tmp_path / "model.pt")
    member = tensor_members(path)[number]
    start = data_offset(path, member)
    steps = {"first": 0, "middle": member.file_size // 2, "last": member.file_size - 1}
    flip(path, start + steps[position])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() == member.filename  # the oracle
    torch.load(path, weights_only=True)  # says nothing

    model = zeros()
    status = cp.Checkpoint(model=model).restore(path)
    with pytest.raises(cp.CheckpointCorruptError, match=r"CRC-32 0x") as error:
        status.run_restore_ops()
    assert f"record {member.filename!r}" in str(error.value)
    assert error.value.offset == start
    assert error.value.path == str(path)
    assert not any(parameter.any() for parameter in model.parameters())

    run = CliRunner().invoke
    done = run(app, ["verify", str(path), "--json"])
    assert done.exit_code == 1
    [damage] = json.loads(done.stdout)["damage"]
    assert (damage["offset"], damage["path"]) == (start, str(path))
    assert repr(member.filename) in damage["what"]
    done = run(app, ["convert", str(path), str(tmp_path / "ckpt")])
    assert done.exit_code == 1
    assert repr(member.filename) in " ".join(done.output.split())
    assert not (tmp_path / "ckpt.index").exists()

    with cp.load_checkpoint(path) as reader:
        for _ in range(2):  # the second time, nothing is read again
            with pytest.raises(cp.CheckpointCorruptError, match="CRC-32"):
                reader.get_tensor("0.weight")
    cp.Checkpoint(model=model).restore(path, verify=False).run_restore_ops()
    assert model[0].weight.any()


@pytest.mark.parametrize("verify", [True, "stream"])
def test_a_whole_file_is_verified_and_restored(tmp_path, verify):
    path = saved(tmp_path / "model.pt")
    model = zeros()
    status = cp.Checkpoint(model=model).restore(path, verify=verify)
    status.run_restore_ops()
    status.assert_consumed()
    assert torch.equal(model[0].weight, net()[0].weight)
    done = CliRunner().invoke(app, ["verify", str(path)])
    assert (done.exit_code, done.stdout) == (0, "OK: 4 values, 10,812 bytes (10.6 KiB)\n"), (
        done.output
    )


def test_the_pickle_is_verified_before_it_is_read(tmp_path):
    path = saved(tmp_path / "model.pt")
    with zipfile.ZipFile(path) as archive:
        [pickle] = [m for m in archive.infolist() if m.filename.endswith("data.pkl")]
    flip(path, path.read_bytes().index(b"0.weight"))
    assert "4.weight" in torch.load(path, weights_only=True)  # another name
    with pytest.raises(cp.CheckpointCorruptError, match=r"data\.pkl") as error:
        cp.load_checkpoint(path)
    assert error.value.offset == data_offset(path, pickle)


def test_every_damaged_record_is_listed_also_of_a_large_file(tmp_path):
    path = saved(tmp_path / "model.pt", net(2000))  # 16 MB: read by several threads
    members = tensor_members(path)
    for number in (0, 2):
        flip(path, data_offset(path, members[number]) + 5)
    with cp.load_checkpoint(path) as reader:
        calls = []
        damages = reader.verify(lambda *call: calls.append(call))
    assert [d.offset for d in damages] == [data_offset(path, members[n]) for n in (0, 2)]
    size = sum(member.file_size for member in members)
    assert calls[-1][:2] == (size, size)
    assert [name for *_, name in calls] == [member.filename for member in members]


def test_parts_of_a_model_are_verified_apart(tmp_path):
    state = net().state_dict()
    weight_map = {name: f"part-{name[0]}.bin" for name in state}
    for part in set(weight_map.values()):
        torch.save({n: t for n, t in state.items() if weight_map[n] == part}, tmp_path / part)
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    broken = tmp_path / "part-1.bin"
    flip(broken, data_offset(broken, tensor_members(broken)[0]))
    with cp.load_checkpoint(index) as reader:
        assert reader.get_tensor("0.weight").any()
        with pytest.raises(cp.CheckpointCorruptError, match=r"part-1\.bin"):
            reader.get_tensor("1.weight")
        assert [damage.path for damage in reader.verify()] == [str(broken)]


def test_a_file_that_was_saved_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "model.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    model = zeros()
    cp.Checkpoint(model=model).restore(path).run_restore_ops()
    assert torch.equal(model[0].weight, net()[0].weight)
    done = CliRunner().invoke(app, ["verify", str(path)])
    assert (done.exit_code, "no checksums" in done.stderr) == (1, True)


@pytest.mark.parametrize("extra", [{"a": 0.5}, {}])
def test_what_the_user_allows_is_loaded(tmp_path, extra):
    import argparse

    state = {"model": net().state_dict(), "args": argparse.Namespace(lr=0.1), **extra}
    torch.save(state, tmp_path / "run.pt")
    model = zeros()
    with pytest.raises(cp.CheckpointUnsupportedError, match=r"torch\.serialization\.safe_globals"):
        cp.Checkpoint(model=model).restore(tmp_path / "run.pt")
    with torch.serialization.safe_globals([argparse.Namespace]):
        status = cp.Checkpoint(model=model).restore(tmp_path / "run.pt")
    status.run_restore_ops()
    status.assert_consumed()
    assert torch.equal(model[0].weight, net()[0].weight)
