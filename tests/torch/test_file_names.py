"""Files of tensors as people have them: of wrapped modules, of several dicts, many files (S38)."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from typer.testing import CliRunner

import checkpointable as cp
from checkpointable.cli.app import app
from checkpointable.restore.by_name.file_names import FileNames, bare_names


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return all(torch.equal(a[key], b[key]) for key in a)


def restored(path, **objects) -> cp.NameBasedSaverStatus:
    status = cp.Checkpoint(**objects).restore(path)
    status.run_restore_ops()
    return status


WRAP = {
    "DataParallel": nn.DataParallel,
    "compiled": lambda m: torch.compile(m, backend="eager"),
    "both": lambda m: nn.DataParallel(torch.compile(m, backend="eager")),
    "averaged": AveragedModel,
    "within": lambda m: nn.Sequential(nn.DataParallel(m[0]), m[1]),
}


@pytest.mark.parametrize("wrap", WRAP)
def test_a_file_of_a_wrapped_module_is_one_of_the_module_inside(tmp_path, wrap):
    whole = net()
    torch.save(WRAP[wrap](whole).state_dict(), tmp_path / "m.pt")
    other = net(seed=1)
    restored(tmp_path / "m.pt", model=other).assert_consumed()
    assert equal(other, whole)
    again = nn.DataParallel(net(seed=2))
    restored(tmp_path / "m.pt", model=again).assert_consumed()
    assert equal(again.module, whole)


def test_a_name_as_it_stands_comes_first_and_of_two_others_neither():
    names = FileNames(["w", "module.w", "module.v", "_orig_mod.v", "module.x"])
    assert names.find(["w"]) == "w"
    assert names.find(["module.w"]) == "module.w"
    assert names.find(["v"]) is None
    assert names.find(["a", "x"]) == "module.x"


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_a_dict_within_the_file_is_found(tmp_path, key):
    whole = net()
    state = {key: nn.DataParallel(whole).state_dict(), "epoch": 3, "rng": torch.get_rng_state()}
    torch.save(state, tmp_path / "m.pt")
    other = net(seed=1)
    restored(tmp_path / "m.pt", model=other).assert_consumed()
    assert equal(other, whole)


def test_two_dicts_of_such_names_are_told_apart_by_the_modules_path_or_refused(tmp_path):
    one, two = net(), net(seed=1)
    torch.save({"model": one.state_dict(), "ema": two.state_dict()}, tmp_path / "m.pt")
    other = net(seed=2)
    restored(tmp_path / "m.pt", ema=other).assert_consumed()
    assert equal(other, two)
    with pytest.raises(ValueError, match="below 'model', 'ema'; select one with names="):
        restored(tmp_path / "m.pt", net=other)
    status = cp.Checkpoint(net=other).restore(
        tmp_path / "m.pt", names=lambda path: path.replace("net/", "model.").replace("/", ".")
    )
    status.run_restore_ops()
    status.assert_consumed()
    assert equal(other, one)


def test_what_an_optimizers_state_in_the_file_is_for(tmp_path, caplog):
    whole = net()
    optimizer = torch.optim.Adam(whole.parameters())
    whole(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    state = {"model": whole.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, tmp_path / "m.pt")
    other = net(seed=1)
    again = torch.optim.Adam(other.parameters())
    restored(tmp_path / "m.pt", model=other, optimizer=again)
    assert equal(other, whole)
    (told,) = [record.message for record in caplog.records]
    assert "'optimizer' is the state of an optimizer by the position" in told
    assert not again.state


def test_what_restores_nothing_says_so(tmp_path, caplog):
    torch.save({"encoder.w": torch.ones(1)}, tmp_path / "m.pt")
    status = restored(tmp_path / "m.pt", model=net())
    (told,) = [record.message for record in caplog.records]
    assert "nothing was restored" in told
    assert "the program has '0.weight', '0.bias', '1.weight', …" in told
    assert "the checkpoint has 'encoder.w'" in told
    with pytest.raises(AssertionError, match="no value under their name"):
        status.assert_consumed()


def test_a_model_in_several_files_of_torch(tmp_path):
    whole = net()
    state = list(whole.state_dict().items())
    names = {}
    for number, part in enumerate((state[:2], state[2:])):
        file = f"pytorch_model-0000{number + 1}-of-00002.bin"
        torch.save(dict(part), tmp_path / file)
        names.update(dict.fromkeys(dict(part), file))
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    other = net(seed=1)
    restored(index, model=other).assert_consumed()
    assert equal(other, whole)
    (tmp_path / "pytorch_model-00002-of-00002.bin").write_bytes(b"no tensors")
    with pytest.raises(cp.CheckpointCorruptError, match="contains no tensors"):
        restored(index, model=other)


def test_a_file_of_tensors_and_buffers_that_it_has_not(tmp_path, caplog):
    # S34, S35, S38
    class Rotary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))
            self.register_buffer("inverse", torch.ones(3), persistent=False)

        def reset_parameters(self) -> None:
            self.inverse = torch.ones(3)

    torch.save(Rotary().state_dict(), tmp_path / "m.pt")
    with torch.device("meta"):
        model = Rotary()
    status = restored(tmp_path / "m.pt", model=model)
    assert "model/inverse: on the meta device" in caplog.text
    status.initialize_or_restore()
    assert model.inverse.tolist() == [1, 1, 1]


@pytest.mark.parametrize("wrap", ["DataParallel", "compiled", "both"])
def test_a_file_of_a_wrapped_module_becomes_a_checkpoint_of_the_module_inside(tmp_path, wrap):
    whole = net()
    torch.save(WRAP[wrap](whole).state_dict(), tmp_path / "m.pt")
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "m.pt"), str(tmp_path / "ckpt")])
    assert done.exit_code == 0, done.output
    other = net(seed=1)
    cp.Checkpoint(model=other).read(tmp_path / "ckpt").assert_consumed()
    assert equal(other, whole)


def convert(state, tmp_path, *options):
    torch.save(state, tmp_path / "m.pt")
    paths = [str(tmp_path / "m.pt"), str(tmp_path / "ckpt")]
    return CliRunner().invoke(app, ["convert", *paths, *options])


def trained(net: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_the_only_state_dict_of_a_file_is_converted_as_if_it_were_the_file(tmp_path, key):
    whole = net()
    optimizer = trained(whole).state_dict()
    state = {key: nn.DataParallel(whole).state_dict(), "optimizer": optimizer, "epoch": 3}
    done = convert({**state, "args": {"lr": 0.1}, "mean": torch.ones(2)}, tmp_path)
    assert done.exit_code == 0, done.output
    assert "left out: 3 values (optimizer, epoch, args.lr)" in done.output
    other, mean = net(seed=1), torch.zeros(2)
    cp.Checkpoint(model=other, mean=mean).read(tmp_path / "ckpt").assert_consumed()
    assert equal(other, whole)
    assert mean.tolist() == [1, 1]


@pytest.mark.parametrize("prefix", [None, "nets"])
def test_of_several_state_dicts_each_is_converted_to_its_own_name(tmp_path, prefix):
    whole, average = net(), net(seed=1)
    optimizer = trained(whole).state_dict()
    state = {"model": whole.state_dict(), "ema": average.state_dict(), "opt": optimizer}
    done = convert(state, tmp_path, *(["--module", prefix] if prefix else []))
    assert done.exit_code == 0, done.output
    nets = {"model": net(seed=2), "ema": net(seed=3)}
    objects = nets if prefix is None else {prefix: nn.ModuleDict(nets)}
    cp.Checkpoint(**objects).read(tmp_path / "ckpt").assert_consumed()
    assert equal(nets["model"], whole)
    assert equal(nets["ema"], average)
    paths = [str(tmp_path / "ckpt"), str(tmp_path / "x.safetensors")]
    below = "ema" if prefix is None else f"{prefix}/ema"
    done = CliRunner().invoke(app, ["convert", *paths, "--module", below])
    assert done.exit_code == 0, done.output
    again = net(seed=4)
    restored(tmp_path / "x.safetensors", model=again).assert_consumed()
    assert equal(again, average)


def test_extra_state_of_a_state_dict_is_no_state_dict_of_its_own(tmp_path):
    whole = net()
    state = {**whole.state_dict(), "0._extra_state": {"scale": torch.ones(1), "name": "x"}}
    done = convert(state, tmp_path)
    assert "left out: 1 value (0._extra_state.name)" in done.output
    other = net(seed=1)
    cp.Checkpoint(model=other).read(tmp_path / "ckpt").expect_partial().require("model/**/weight")
    assert equal(other, whole)


def test_what_cannot_become_a_checkpoint_is_told(tmp_path):
    done = convert(trained(net()).state_dict(), tmp_path)
    assert done.exit_code == 1
    assert "goes by the position of its parameters" in done.output
    clash = {"model": {"mean": torch.ones(1)}, "mean": torch.zeros(1)}
    done = convert(clash, tmp_path, "--module", "")
    assert done.exit_code == 1
    assert (
        "would both have the path mean; pass another path of the module (--module)" in done.output
    )
    assert not list(tmp_path.glob("ckpt*"))


def test_names_are_bare_only_where_they_tell():
    assert bare_names(["module.a", "b"]) == {"module.a": "module.a", "b": "b"}
    assert bare_names(["a._orig_mod.w", "b"]) == {"a._orig_mod.w": "a.w", "b": "b"}
    assert bare_names(["_orig_mod.w", "w"]) == {"_orig_mod.w": "_orig_mod.w", "w": "w"}
    assert bare_names([]) == {}
