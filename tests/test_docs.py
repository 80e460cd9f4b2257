"""The examples in docs/ run, block after block, and print what the page shows.

python -m tests.test_docs        writes the present output into the pages
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
# Pages whose ```python blocks are one program, and whose ```text blocks are its output.
PAGES = ["renamed-code.md", "pytorch.md"]
_BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)


def outputs(text: str) -> list[str]:
    """What each ```text block should hold: what was printed since the one before."""
    names: dict[str, object] = {}
    printed = io.StringIO()
    found = []
    for kind, content in _BLOCK.findall(text):
        if kind == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(content, "docs", "exec"), names)
        else:
            found.append(printed.getvalue())
            printed = io.StringIO()
    assert not printed.getvalue(), "the page prints something that it does not show"
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_what_its_examples_print(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / name).read_text("utf-8")
    assert outputs(text) == [content for kind, content in _BLOCK.findall(text) if kind == "text"]


def _rewrite(page: Path) -> None:
    text = page.read_text("utf-8")
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        fresh = iter(outputs(text))
    page.write_text(
        _BLOCK.sub(lambda m: f"```text\n{next(fresh)}```" if m[1] == "text" else m[0], text),
        "utf-8",
    )


if __name__ == "__main__":
    for name in PAGES:
        _rewrite(DOCS / name)
