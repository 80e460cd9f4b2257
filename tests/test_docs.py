"""Every Python block of README.md and docs/ runs as it stands and prints what its page shows.

python -m tests.test_docs        writes the present output into the text blocks of the pages
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.run_page import BLOCK, shown_value

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROGRAMS = [page for page in PAGES if "```python\n" in page.read_text("utf-8")]
# With a script as the argument, Python would search tests/ for modules, where `torch` is a folder.
RUN = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
# Everything but `python` and its output, `text`, is a block that Python could not run.
LANGUAGES = {"python", "text", "console", "sh", "toml", "json", "grammar", "diagram"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def outputs(page: Path, directory: Path) -> list[str]:
    """Runs a page in a fresh process in `directory`, which must be empty."""
    result = directory.parent / f"{page.stem}-output.json"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200"}
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", RUN),
            *(ROOT / "tests" / "run_page.py", page, result),
        ],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(result.read_text("utf-8"))


@pytest.mark.parametrize("page", PROGRAMS, ids=name_of)
def test_a_page_runs_and_shows_what_it_prints(page, tmp_path):
    directory = tmp_path / "empty"
    directory.mkdir()
    blocks = BLOCK.findall(page.read_text("utf-8"))
    assert outputs(page, directory) == [content for kind, content in blocks if kind == "text"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_names_its_language(page):
    fences = re.findall(r"^ *```(.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert len(fences) % 2 == 0
    assert set(fences[::2]) <= LANGUAGES
    assert set(fences[1::2]) <= {""}
    # A text block is the output of a program on its page.
    assert page in PROGRAMS or "text" not in fences


# docs/style.md, "English": turns that can be recognized without reading the sentence.
AVOIDED = (
    *(
        r"\bwhoever\b",
        r"\bthat which\b",
        r"\btakes? part\b",
        r"\bhand(s|ed) back\b",
        r"\bby hand\b",
    ),
    *(r"\bamid\b", r"\bthereof\b", r"\bas it were\b", r"\band the like\b", r"\bis told\b"),
    *(r"\bso many bytes\b", r"\ball the same\b", r"\bhas its turn\b"),
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_avoid_what_the_style_page_lists(page):
    if page.name in {"style.md", "CHANGELOG.md"}:
        return
    text = page.read_text("utf-8")
    assert not [turn for turn in AVOIDED if re.search(turn, text, re.IGNORECASE)]


def test_most_pages_have_examples():
    assert len(PROGRAMS) >= 8


def program(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    return page


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nx = 1\nx  # 2\n```\n", "x is 1, but the page shows 2"),
        ("```python\nx = 1  # 2\n```\n", "x = 1 is 1, but the page shows 2"),
        ("```python\nprint(1)\n```\n", "page.md does not show this output"),
        ("\n```python\n1 / 0\n```\n", 'page.md", line 3'),
    ],
)
def test_a_page_that_is_wrong_fails(tmp_path, text, error):
    directory = tmp_path / "empty"
    directory.mkdir()
    with pytest.raises(AssertionError, match=re.escape(error)):
        outputs(program(tmp_path, text), directory)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x  # 'a'", (True, "a")),
        ("f(x)   # ['a', 1]", (True, ["a", 1])),
        ("x  # the latest checkpoint", (False, None)),
        ("# 1", (False, None)),
    ],
)
def test_a_comment_that_is_a_literal_is_a_value(line, expected):
    assert shown_value(line) == expected


def defined_in(path: Path) -> set[str]:
    """Returns the names of a module's functions, classes, methods and assignments."""
    names = set()
    for node in ast.parse(path.read_bytes()).body:
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            names.add(getattr(target, "id", ""))
        names.add(getattr(node, "name", ""))
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{getattr(member, 'name', '')}" for member in node.body}
    return names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_and_functions_that_a_page_names_exist(page):
    named = re.findall(r"`([\w/]+\.py)(?::([\w.]+))?`", page.read_text("utf-8"))
    assert named or page.name != "design.md"
    for path, name in named if page.name not in {"CHANGELOG.md", "style.md"} else ():
        places = [ROOT / path, ROOT / "src" / "checkpointable" / path]
        places += (ROOT / "tests").glob(f"*/{path}")
        file = next((place for place in places if place.exists()), None)
        assert file is not None, f"{page.name} names {path}, which does not exist"
        assert not name or name in defined_in(file), f"{page.name}: {path} has no {name}"


def test_the_tree_of_the_design_page_is_complete():
    tree = (ROOT / "docs" / "design.md").read_text("utf-8").partition("src/checkpointable/\n")[2]
    shown = set(re.findall(r"^  ([\w.]+)/? ", tree.partition("```")[0], re.MULTILINE))
    package = ROOT / "src" / "checkpointable"
    assert shown == {p.name for p in package.iterdir() if p.name not in {"__pycache__", "py.typed"}}


def _rewrite(page: Path) -> None:
    text = page.read_text("utf-8")
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent, "empty")
        directory.mkdir()
        fresh = iter(outputs(page, directory))
    page.write_text(
        BLOCK.sub(lambda m: f"```text\n{next(fresh)}```" if m[1] == "text" else m[0], text),
        "utf-8",
    )


if __name__ == "__main__":
    for page in PROGRAMS:
        _rewrite(page)
