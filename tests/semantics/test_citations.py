"""Every statement of the contract up to S33 is cited by a test in this room."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent


def cited():
    found = set()
    for path in HERE.glob("test_*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.match(r" *#.*\bS\d", line):
                found.update(int(number) for number in re.findall(r"\bS(\d+)\b", line))
    return found


def test_every_statement_is_cited():
    assert [number for number in range(1, 34) if number not in cited()] == []


def test_only_statements_that_exist_are_cited():
    contract = (HERE.parents[1] / "docs" / "semantics.md").read_text(encoding="utf-8")
    stated = {int(number) for number in re.findall(r"(?m)^- S(\d+) ", contract)}
    assert set(range(1, 34)) <= stated
    assert cited() <= stated
