"""The README's first program survives a SIGKILL, and all links between pages lead somewhere."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import checkpointable as cp

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


KILLED_AT_THE_THIRD_SAVE = """
import os, signal
import checkpointable as cp

save, calls = cp.CheckpointManager.save, []

def save_or_die(manager):
    calls.append(save(manager))
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

cp.CheckpointManager.save = save_or_die
"""


def test_the_first_program_is_killed_and_resumes_bit_for_bit(tmp_path):
    (code, *_) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.partition("\n\n")[2].splitlines()) == 12
    program = f"import torch; torch.manual_seed(0)\n{code}"

    def run(directory: str, before: str = "") -> int:
        (tmp_path / directory).mkdir(exist_ok=True)
        command = [sys.executable, "-W", "error", "-c", before + program + "print(int(step))"]
        done = subprocess.run(
            command, cwd=tmp_path / directory, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert done.stdout == ("" if done.returncode else "1000\n")
        return done.returncode

    assert run("killed", KILLED_AT_THE_THIRD_SAVE) == -signal.SIGKILL
    assert cp.latest_checkpoint(tmp_path / "killed/runs/a").endswith("ckpt-3")
    assert run("killed") == 0
    assert run("undisturbed") == 0
    difference = cp.compare_checkpoints(tmp_path / "killed/runs/a", tmp_path / "undisturbed/runs/a")
    assert difference.equal
    assert len(difference.differences) > 16


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


def headings(page: Path) -> set[str]:
    """What a link may name after "#", as GitHub makes it of the headings."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_pages_lead_to_a_heading(page):
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text("utf-8"))
    assert not [
        (target, heading)
        for target, heading in links
        if heading not in headings(page.parent / target if target else page)
    ]
