"""`convert` to safetensors gives the names and the metadata of the peers' own exports."""

from __future__ import annotations

import os

import pytest
import safetensors
import torch
import transformers
from safetensors.torch import save_model
from torch import nn
from typer.testing import CliRunner

import checkpointable as cp
from checkpointable.cli.app import app
from tests.torch.models import MODELS


def contents(path):
    with safetensors.safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def converted(checkpoint, directory, *options):
    path = checkpoint.save(directory / "ckpt")
    target = directory / "out" / "model.safetensors"
    os.makedirs(target.parent, exist_ok=True)
    done = CliRunner().invoke(app, ["convert", path, str(target), "--overwrite", *options])
    assert done.exit_code == 0, done.output
    return target


def same(first, second):
    assert sorted(first) == sorted(second)
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize("options", [(), ("--module", "model")])
@pytest.mark.parametrize("kind", ["gpt2", "bert", "t5", "llama"])
def test_names_and_metadata_are_those_of_save_pretrained(tmp_path, kind, options):
    model = MODELS[kind]()
    model.save_pretrained(tmp_path / "peer")
    optimizer = torch.optim.Adam(model.parameters())
    target = converted(cp.Checkpoint(model=model, optimizer=optimizer), tmp_path, *options)
    tensors, metadata = contents(target)
    theirs, their_metadata = contents(tmp_path / "peer" / "model.safetensors")
    same(tensors, theirs)
    assert metadata == their_metadata == {"format": "pt"}


def test_the_base_model_finds_the_embedding_that_the_head_shares(tmp_path):
    model = MODELS["gpt2"]()
    target = converted(cp.Checkpoint(model=model), tmp_path)
    model.config.save_pretrained(target.parent)
    base, info = transformers.GPT2Model.from_pretrained(target.parent, output_loading_info=True)
    assert not info["missing_keys"]
    assert torch.equal(base.wte.weight, model.transformer.wte.weight)
    whole = transformers.GPT2LMHeadModel.from_pretrained(target.parent)
    assert torch.equal(whole.lm_head.weight, model.lm_head.weight)


class Tied(nn.Module):
    """Its head, shallower than its embedding, comes last in the state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Sequential(nn.Embedding(3, 2)), nn.Linear(2, 2))
        self.head = nn.Linear(2, 3, bias=False)
        self.head.weight = self.body[0][0].weight


def test_a_tied_weight_has_its_first_name_in_the_state_dict(tmp_path):
    model = Tied()
    tensors, _ = contents(converted(cp.Checkpoint(model=model), tmp_path))
    assert sorted(tensors) == ["body.0.0.weight", "body.1.bias", "body.1.weight"]
    save_model(model, str(tmp_path / "peer.safetensors"))
    assert len(contents(tmp_path / "peer.safetensors")[0]) == len(tensors)
    missing, unexpected = Tied().load_state_dict(tensors, strict=False)
    assert (missing, unexpected) == (["head.weight"], [])
    nn.Sequential.load_state_dict(model.body, {k[5:]: v for k, v in tensors.items()})


@pytest.mark.parametrize("prefix", ["model/body", "model/head"])
def test_a_part_of_the_model_has_what_is_tied_to_something_outside(tmp_path, prefix):
    model = Tied()
    part = model.body if prefix.endswith("body") else model.head
    target = converted(cp.Checkpoint(model=model), tmp_path, "--module", prefix)
    same(contents(target)[0], dict(part.state_dict()))


def test_variables_of_tensorflow_are_not_said_to_be_pytorchs(tmp_path):
    target = converted(cp.Checkpoint(v=cp.Variable([1.0], name="dense/kernel")), tmp_path)
    tensors, metadata = contents(target)
    assert list(tensors) == ["dense/kernel"]
    assert not metadata
