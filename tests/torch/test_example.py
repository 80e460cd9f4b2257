"""examples/gpt.py: stopped and started again it ends as if it had never been stopped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def gpt(directory: Path, *options: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "examples/gpt.py", "--directory", str(directory), "--every=3", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_gpt_goes_on_where_it_was_stopped(tmp_path):
    in_one_go = gpt(tmp_path / "a", "--steps=6")
    first = gpt(tmp_path / "b", "--steps=3")
    second = gpt(tmp_path / "b", "--steps=6")
    assert first == in_one_go[:1]
    assert second == ["goes on from step 3", *in_one_go[1:]]


def test_a_gpt_gets_a_layer_more(tmp_path):
    gpt(tmp_path, "--steps=3")
    lines = gpt(tmp_path, "--steps=6", "--layers=3")
    assert lines[:2] == [
        "goes on from step 3",
        "new since the checkpoint: 12 values, model/blocks/2/attention/in_proj_weight the first",
    ]
