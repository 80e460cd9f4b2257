"""Files of tensors that others wrote are restored by the names in them (S38, S39)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import checkpointable as cp
from checkpointable.readers.foreign import write_safetensors
from tests.torch.foreign_files import FORMATS, as_safetensors, equal, net


@pytest.mark.parametrize("write", FORMATS)
def test_a_file_of_tensors_restores_by_name_when_it_is_run(tmp_path, write):
    whole, model = net(), net()
    path = write(tmp_path / "model", whole)
    optimizer = torch.optim.Adam(model.parameters())
    status = cp.Checkpoint(model=model, optimizer=optimizer, step=cp.Variable(0)).restore(path)
    assert isinstance(status, cp.NameBasedSaverStatus)
    assert not equal(model, whole)
    with pytest.raises(AssertionError, match="nothing was restored yet"):
        status.assert_consumed()
    status.run_restore_ops()
    assert equal(model, whole)
    status.assert_consumed().assert_existing_objects_matched()


def test_a_module_as_the_root_and_on_the_meta_device(tmp_path):
    whole = net()
    path = as_safetensors(tmp_path / "model", whole)
    with torch.device("meta"):
        model = net()
    cp.CheckpointableSaver(model).restore(path).run_restore_ops()
    assert equal(model, whole)


def test_several_modules_need_the_name_of_one(tmp_path):
    whole, one, other = net(), net(), net()
    path = as_safetensors(tmp_path / "model", whole)
    checkpoint = cp.Checkpoint(one=one, other=other)
    with pytest.raises(ValueError, match=r"several modules \(one, other\): module="):
        checkpoint.restore(path).run_restore_ops()
    checkpoint.restore(path, module="other").run_restore_ops()
    assert equal(other, whole)
    assert not equal(one, whole)
    outer = cp.Checkpoint(model=nn.Sequential(nn.ReLU(), net()))
    outer.restore(path, module="model/1").run_restore_ops()
    assert equal(outer.model[1], whole)
    with pytest.raises(ValueError, match="no object there"):
        checkpoint.restore(path, module="nothing").run_restore_ops()
    with pytest.raises(ValueError, match="module="):
        checkpoint.restore(checkpoint.write(tmp_path / "ckpt"), module="one")


def test_what_has_no_name_in_the_file_is_missing(tmp_path):
    model = net()
    path = as_safetensors(tmp_path / "model", nn.Sequential(nn.Linear(2, 3)))
    status = cp.Checkpoint(model=model).restore(path)
    status.run_restore_ops()
    with pytest.raises(AssertionError, match=r"model/2/weight \(name '2.weight'\)"):
        status.assert_consumed()
    status.allow_missing("model/1/**", "model/2/**").assert_consumed()


def test_other_names_by_a_mapping_or_a_function(tmp_path):
    whole = net()
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({f"net.{k}": v for k, v in whole.state_dict().items()}, path)

    def name(program_path: str) -> str:
        return "net." + program_path.removeprefix("model/").replace("/", ".")

    model = net()
    cp.Checkpoint(model=model).restore(path, names=name).run_restore_ops()
    assert equal(model, whole)


def test_tied_weights_go_by_any_of_their_names(tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(3, 2)
            self.head = nn.Linear(2, 3, bias=False)
            self.head.weight = self.embedding.weight

    model = Tied()
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"head.weight": torch.ones(3, 2)}, path)
    status = cp.Checkpoint(model=torch.compile(model, backend="eager")).restore(path)
    status.run_restore_ops()
    status.assert_consumed()
    assert torch.equal(model.embedding.weight, torch.ones(3, 2))


def test_a_model_in_several_files(tmp_path):
    whole = net()
    weight_map = {}
    for number, key in enumerate(whole.state_dict()):
        weight_map[key] = f"part-{number % 2}.safetensors"
    for file in set(weight_map.values()):
        own = {k: v for k, v in whole.state_dict().items() if weight_map[k] == file}
        safetensors.torch.save_file(own, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    model = net()
    cp.Checkpoint(model=model).restore(index).run_restore_ops()
    assert equal(model, whole)
    index.write_text(json.dumps({"weight_map": {"a": "../part-0.safetensors"}}))
    with pytest.raises(cp.CheckpointCorruptError, match="outside its directory"):
        cp.Checkpoint(model=model).restore(index)


def test_a_mismatch_changes_nothing(tmp_path):
    whole, model = nn.Linear(2, 3), nn.Linear(2, 4)
    before = model.bias.detach().clone()
    path = as_safetensors(tmp_path / "model", whole)
    with pytest.raises(cp.CheckpointMismatchError, match="model/weight: shape"):
        cp.Checkpoint(model=model).restore(path).run_restore_ops()
    assert torch.equal(model.bias, before)


# -- names= --------------------------------------------------------------------------------------


# S39


def test_names_for_objects_that_are_no_modules(tmp_path):
    path = tmp_path / "m.safetensors"
    write_safetensors(str(path), {"a": np.arange(3.0), "b": np.ones(2)})

    def build():
        own = cp.Checkpointable()
        own.x, own.y = cp.Variable(np.zeros(3)), cp.Variable(np.zeros(2), name="b")
        return cp.Checkpoint(own=own)

    for names in ({"own/x": "a"}, {"own/x": "a", "own/y": "b"}.get):
        checkpoint = build()
        status = checkpoint.restore(path, names=names)
        status.run_restore_ops()
        status.assert_consumed()
        assert checkpoint.own.x.numpy().tolist() == [0, 1, 2]
        assert checkpoint.own.y.numpy().tolist() == [1, 1]
    with pytest.raises(ValueError, match="no value at own/z"):
        build().restore(path, names={"own/z": "a"}).run_restore_ops()
    nameless = cp.Checkpointable()
    nameless.x = cp.Variable(np.zeros(3))
    with pytest.raises(ValueError, match="no object with a global name"):
        cp.CheckpointableSaver(nameless).restore(path).run_restore_ops()


# S38, S39
def test_names_for_what_is_beside_the_module(tmp_path):
    whole = net()
    path = tmp_path / "m.safetensors"
    state = whole.state_dict()
    safetensors.torch.save_file({**state, "global_step": torch.tensor(7)}, path)

    def build():
        return cp.Checkpoint(model=net(), step=cp.Variable(0), other=cp.Variable(1))

    checkpoint = build()
    status = checkpoint.restore(path, names={"step": "global_step"})
    status.run_restore_ops()
    status.assert_consumed()
    assert equal(checkpoint.model, whole)
    assert (int(checkpoint.step), int(checkpoint.other)) == (7, 1)

    checkpoint = build()
    status = checkpoint.restore(path, names={"step": "epoch"})
    status.run_restore_ops()
    with pytest.raises(AssertionError, match=r"step \(name 'epoch'\)"):
        status.assert_consumed()
    with pytest.raises(ValueError, match="no value at model/9"):
        checkpoint.restore(path, names={"model/9": "epoch"}).run_restore_ops()

    def name(program_path: str) -> str:
        if program_path == "step":
            return "global_step"
        return program_path.removeprefix("model/").replace("/", ".")

    checkpoint = build()
    status = checkpoint.restore(path, names=name)
    status.run_restore_ops()
    status.assert_consumed()
    assert int(checkpoint.step) == 7


# S38, S39
def test_a_function_that_names_everything_needs_no_module(tmp_path):
    one, other = net(), net()
    path = tmp_path / "m.safetensors"
    tensors = {f"one.{k}": v for k, v in one.state_dict().items()}
    safetensors.torch.save_file(
        tensors | {f"other.{k}": v for k, v in other.state_dict().items()}, path
    )
    checkpoint = cp.Checkpoint(one=net(), other=net())
    status = checkpoint.restore(path, names=lambda program_path: program_path.replace("/", "."))
    status.run_restore_ops()
    status.assert_consumed()
    assert equal(checkpoint.one, one)
    assert equal(checkpoint.other, other)
