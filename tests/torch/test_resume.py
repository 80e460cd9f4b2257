"""N steps, save, a new process, restore, M steps: as if never stopped, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.torch.cases import AFTER, BEFORE, Run, cases
from tests.torch.test_state import same


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """By case: what came of it in one go, and what in two processes."""
    directory = tmp_path_factory.mktemp("resume")
    in_one_go = {}
    for case in cases():
        run = Run(case, seed=0)
        losses = run.train(BEFORE)
        run.checkpoint.save(directory / str(case))
        in_one_go[str(case)] = run.outcome([*losses, *run.train(AFTER)])
    subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.torch.cases", str(directory)],
        cwd=Path(__file__).parents[2],
        check=True,
    )
    return in_one_go, torch.load(directory / "outcomes.pt", weights_only=False)


@pytest.mark.parametrize("case", [str(case) for case in cases()])
def test_a_run_in_two_processes_is_one_run(outcomes, case):
    in_one_go, in_two = outcomes[0][case], outcomes[1][case]
    assert same(in_one_go["losses"][BEFORE:], in_two["losses"])
    assert same(in_one_go["net"], in_two["net"])
    assert same(in_one_go["optimizer"], in_two["optimizer"])
    assert same(in_one_go["scheduler"], in_two["scheduler"])
    assert torch.equal(in_one_go["random"], in_two["random"])


def test_every_optimizer_of_torch_is_among_the_cases():
    found = {
        name
        for name in torch.optim.__all__
        if isinstance(getattr(torch.optim, name), type) and name != "Optimizer"
    }
    assert found == {case.optimizer for case in cases()}
