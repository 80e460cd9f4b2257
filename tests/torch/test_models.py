"""Real models, of `transformers`: trained, saved, continued in other programs than they were."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import checkpointable as cp
from tests.torch.models import MODELS, TEXT, Program, transformers
from tests.torch.test_state import same

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def slots_of(program: Program, prefix: str = "") -> dict[str, dict[str, torch.Tensor]]:
    """The optimizer's state by the parameter's name."""
    return {
        name: dict(program.optimizer.state[parameter])
        for name, parameter in program.model.named_parameters(remove_duplicate=False)
        if parameter in program.optimizer.state and name.startswith(prefix)
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """By name: the program after two steps, and its checkpoint."""
    directory = tmp_path_factory.mktemp("models")
    programs = {}
    for name in MODELS:
        program = Program(name)
        program.train(2)
        programs[name] = program, program.checkpoint.write(directory / name)
    return directory, programs


@pytest.fixture(scope="module")
def continued(saved):
    """Returns the outcomes of two more steps in another process."""
    directory, _ = saved
    subprocess.run(
        [sys.executable, "-m", "tests.torch.models", str(directory)],
        cwd=Path(__file__).parents[2],
        check=True,
    )
    return torch.load(directory / "continued.pt")


@pytest.mark.parametrize("name", MODELS)
def test_a_fresh_process_goes_on(saved, continued, name):
    directory, programs = saved
    program = Program(name, seed=7)
    program.checkpoint.read(directory / name).assert_consumed()
    assert same(slots_of(program), slots_of(programs[name][0]))
    for key, tensor in continued[name]["before"].items():
        assert torch.equal(program.model.state_dict()[key], tensor)
    losses = program.train(2)
    assert same(losses, continued[name]["losses"])
    assert same(dict(program.model.state_dict()), continued[name]["after"])


@pytest.mark.parametrize("name", MODELS)
def test_a_save_warns_of_nothing(tmp_path, caplog, name):
    program = Program(name)
    program.train(1)
    program.checkpoint.write(tmp_path / "ckpt")
    assert not [record for record in caplog.records if record.name == "checkpointable"]


SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40}
OTHER_MODELS = {
    "wav2vec2": lambda: transformers.Wav2Vec2Model(
        transformers.Wav2Vec2Config(
            conv_dim=(8, 8),
            conv_stride=(2, 2),
            conv_kernel=(3, 3),
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
            intermediate_size=16,
            **SIZES,
        )
    ),
    "convnext": lambda: transformers.ConvNextModel(
        transformers.ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 1], num_stages=2)
    ),
    "mixtral": lambda: transformers.MixtralForCausalLM(
        transformers.MixtralConfig(
            intermediate_size=16, num_local_experts=2, num_key_value_heads=2, **SIZES
        )
    ),
}


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_a_save_of_another_model_warns_of_nothing(tmp_path, caplog, name):
    cp.Checkpoint(model=OTHER_MODELS[name]()).write(tmp_path / "ckpt")
    assert not [record for record in caplog.records if record.name == "checkpointable"]


@pytest.mark.parametrize("name", MODELS)
def test_the_file_has_what_the_state_dict_has_and_ties_once(saved, name):
    program, path = saved[1][name]
    names = {
        attribute.full_name
        for node in cp.object_metadata(path).nodes
        for attribute in node.attributes
        if attribute.full_name
    }
    whole = program.model.state_dict(keep_vars=True)
    assert names <= set(whole)
    # What is not named is tied to something that is.
    assert {id(whole[key]) for key in names} == {id(tensor) for tensor in whole.values()}
    assert len(names) == len({id(tensor) for tensor in whole.values()})


@pytest.mark.parametrize("name", MODELS)
def test_a_program_that_is_built_after_the_restore(saved, name):
    program, path = saved[1][name]
    whole = Program(name, seed=8).model
    shell = type(whole).__new__(type(whole))
    nn.Module.__init__(shell)
    checkpoint = cp.Checkpoint(model=shell)
    status = checkpoint.read(path)
    for child_name, child in list(whole.named_children()):
        shell.add_module(child_name, child)
    for parameter_name, parameter in list(whole.named_parameters(recurse=False)):
        shell.register_parameter(parameter_name, parameter)
    optimizer = torch.optim.AdamW(shell.parameters(), lr=1e-3)
    checkpoint.optimizer = optimizer
    checkpoint.rng = cp.torch.RandomState()
    status.assert_consumed()
    expected = program.model.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in shell.state_dict().items())
    by_name = dict(shell.named_parameters(remove_duplicate=False))
    for key, slots in slots_of(program).items():
        assert same(dict(optimizer.state[by_name[key]]), slots)


def changed(name: str, change: str) -> tuple[Program, nn.ModuleList]:
    """The program after the user's code changed."""
    program = Program(name, seed=9)
    layers = program.layers()
    parameters = list(program.model.parameters())
    if change == "reordered":
        # The same layers, defined in another order: the order of everything else changes.
        for module in list(program.model.modules()):
            if len(module._modules) > 1 and not isinstance(module, nn.ModuleList):
                items = list(module._modules.items())[::-1]
                module._modules.clear()
                module._modules.update(items)
        parameters = list(program.model.parameters())
    elif change == "frozen":
        frozen = {id(p) for p in layers[0].requires_grad_(False).parameters()}
        parameters = [p for p in parameters if id(p) not in frozen]
    elif change == "added":
        layers.append(program.new_layer())
        parameters = list(program.model.parameters())
    elif change == "removed":
        del layers[2]
        parameters = list(program.model.parameters())
    groups = [{"params": parameters}]
    if change == "split":
        groups = [
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
            {"params": [p for p in parameters if p.dim() >= 2]},
        ]
    program.optimize(groups)
    return program, layers


@pytest.mark.parametrize("change", ["reordered", "frozen", "added", "removed", "split"])
@pytest.mark.parametrize("name", MODELS)
def test_after_the_code_has_changed_the_slots_land_on_their_parameters(saved, name, change):
    origin, path = saved[1][name]
    program, _ = changed(name, change)
    cp.Checkpoint(model=program.model, optimizer=program.optimizer).read(path).expect_partial()
    expected = slots_of(origin)
    trained = {id(p) for group in program.optimizer.param_groups for p in group["params"]}
    for key, parameter in program.model.named_parameters(remove_duplicate=False):
        if id(parameter) not in trained or key not in expected:
            assert parameter not in program.optimizer.state
            continue
        assert same(dict(program.optimizer.state[parameter]), expected[key])
        assert torch.equal(
            parameter, dict(origin.model.named_parameters(remove_duplicate=False))[key]
        )
    program.train(1)
    program.optimizer.state_dict()


@pytest.mark.parametrize("change", ["reordered", "frozen", "added", "removed", "split"])
@pytest.mark.parametrize("name", MODELS)
def test_what_load_state_dict_does_beside_it(saved, name, change):
    origin, _ = saved[1][name]
    program, _ = changed(name, change)
    state = origin.optimizer.state_dict()
    if change != "reordered":
        with pytest.raises(ValueError, match="parameter group"):
            program.optimizer.load_state_dict(state)
        return
    program.optimizer.load_state_dict(state)  # no complaint
    expected, restored = slots_of(origin), slots_of(program)
    wrong = [key for key in expected if not same(expected[key], restored[key])]
    assert len(wrong) > len(expected) / 2  # other parameters' moments


def test_a_model_on_the_meta_device_runs_once_it_is_initialized_or_restored(saved):
    # S34, S35: the rotary frequencies are in no checkpoint, and the model computes them.
    origin, path = saved[1]["llama"]
    with torch.device("meta"):
        model = MODELS["llama"]()
    status = cp.Checkpoint(model=model).read(path).expect_partial()
    status.initialize_or_restore()
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert torch.equal(model(TEXT).logits, origin.model(TEXT).logits)
