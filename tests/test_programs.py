"""The programs beside the package run: the example, and each benchmark's own check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import round_trips
from benchmarks.contenders import Ours, libraries
from benchmarks.timing import Contender, in_turn

ROOT = Path(__file__).parents[1]


def run(*arguments: str | os.PathLike[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_is_killed_resumes_and_ends_equal():
    printed = run("examples/resume.py")
    assert "kill -KILL" in printed
    assert "resume from ckpt-5 at step 500" in printed
    assert "Equal, bit for bit." in printed
    assert "beta1_power" in printed.partition("checkpointable show")[2]


def test_each_library_restores_what_it_saved(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"v{i}": rng.random((3, i), np.float32) for i in range(4)}
    found = libraries(arrays)
    found.pop("Orbax", None)  # it refuses arrays without elements
    assert {"ours", "TensorFlow", "safetensors, NumPy", "torch.save"} <= found.keys()
    for number, (name, library) in enumerate(found.items()):
        directory = tmp_path / str(number)
        directory.mkdir()
        round_trips.check(name, library, arrays, directory)


def test_a_benchmark_refuses_a_library_that_restores_wrong_values(tmp_path):
    arrays = {"v": np.ones(3, np.float32)}

    class Forgetful(Ours):
        def restore(self, directory):
            pass

    with pytest.raises(AssertionError, match="Forgetful restored 1 of 1 values wrong"):
        round_trips.check("Forgetful", Forgetful(arrays), arrays, tmp_path)


def test_contenders_run_in_turn_and_are_compared_by_round():
    calls: list[str] = []
    contenders = {
        name: Contender(prepare=lambda: None, run=lambda name=name: calls.append(name))
        for name in "ab"
    }
    result = in_turn("nothing", contenders, 3, "a")
    assert calls == ["a", "b", "b", "a", "a", "b"]
    result.seconds["a"][:], result.seconds["b"][:] = [1, 2, 4], [2, 2, 2]
    ratio = result.ratio("b")
    assert (ratio.median, ratio.min, ratio.max) == (1, 0.5, 2)


@pytest.mark.timeout(900)  # a minute and a half where nobody else works: many imports
def test_figures_are_written_as_json(tmp_path):
    run("-m", "benchmarks", "--quick", "--rounds", "1", "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    kinds = [result["work"].split()[0].rstrip(",") for result in figures["results"]]
    assert {"save", "restore", "import"} <= set(kinds)
    assert all(result["seconds"] for result in figures["results"])
