"""Runs the Python blocks of a page as one program, in this process and this directory.

python tests/run_page.py PAGE RESULT

RESULT receives a JSON list with one string per ```text block: the standard output since the
text block before it. Output that no text block shows is an error. A statement whose comment is a
Python literal, such as ``int(step)  # 3``, must have that value.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMENTED = re.compile(r"^[^#\n]*\S\s+# (.+)$")


def shown_value(line: str) -> tuple[bool, object]:
    """Returns whether the comment of a line is a literal, and its value."""
    comment = _COMMENTED.match(line)
    if comment:
        with contextlib.suppress(ValueError, SyntaxError):
            return True, ast.literal_eval(comment[1])
    return False, None


def _run(block: str, first_line: int, page: str, names: dict[str, object]) -> None:
    # The blank lines make the line numbers of a traceback those of the page.
    tree = ast.parse("\n" * (first_line - 1) + block, page)
    for statement in tree.body:
        code = ast.unparse(statement)
        literal, expected = False, None
        if isinstance(statement, ast.Expr | ast.Assign) and statement.end_lineno is not None:
            line = block.splitlines()[statement.end_lineno - first_line]
            literal, expected = shown_value(line)
        if isinstance(statement, ast.Expr):
            result = eval(compile(ast.Expression(statement.value), page, "eval"), names)
        else:
            exec(compile(ast.Module([statement], []), page, "exec"), names)
            result = None
            if literal and isinstance(statement, ast.Assign):
                result = eval(ast.unparse(statement.targets[0]), names)
        if literal and result != expected:
            raise AssertionError(f"{page}: {code} is {result!r}, but the page shows {expected!r}")


def outputs(page: Path) -> list[str]:
    """Runs the page and returns what each of its text blocks must show."""
    text = page.read_text("utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    printed = io.StringIO()
    results = []
    for match in BLOCK.finditer(text):
        kind, content = match.groups()
        if kind == "python":
            with contextlib.redirect_stdout(printed):
                _run(content, text.count("\n", 0, match.start(2)) + 1, page.name, names)
        elif kind == "text":
            results.append(printed.getvalue())
            printed = io.StringIO()
    if printed.getvalue():
        raise AssertionError(f"{page.name} does not show this output:\n{printed.getvalue()}")
    return results


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(outputs(Path(sys.argv[1]))), "utf-8")
