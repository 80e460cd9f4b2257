"""docs/command-line.md names every option, every field of the JSON, every exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import document, output

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def fields(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for name, item in document.items():
            yield name
            if name != "by_dtype":
                yield from fields(item)
    elif isinstance(document, list):
        for item in document:
            yield from fields(item)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("ls", []), ("show", []), ("show", ["model/kernel"]), ("verify", [])],
)
def test_every_field_is_explained(program, command, arguments):
    section = PAGE.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    explained = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", section))))
    shown = document(command, program, *arguments)
    assert set(fields(shown)) <= explained


@pytest.mark.parametrize("command", ["ls", "show", "verify"])
def test_every_option_is_explained(command):
    options = set(re.findall(r"--[a-z-]+", output(command, "--help"))) - {"--help"}
    assert options
    assert {option for option in options if option not in PAGE} == set()


def test_the_tree_on_the_page_is_what_is_printed(program):
    block = PAGE.partition("$ checkpointable show runs/a\n")[2].partition("```")[0]
    assert output("show", program) == block


def test_the_value_on_the_page_is_what_is_printed(program):
    block = PAGE.partition("$ checkpointable show runs/a model/kernel\n")[2].partition("```")[0]
    shown = output("show", program, "model/kernel")

    def without_place(text):
        return re.sub(r"offset \d+", "offset …", text)

    assert without_place(shown) == without_place(block)
