"""Every file operation of the library goes through `storage/`; `testing` is for tests alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "checkpointable"
# Of `os` and `os.path`, what only works on strings.
HARMLESS = {
    *("PathLike", "fspath", "fsencode", "path", "sep", "curdir", "pardir", "name", "environ"),
    *("basename", "dirname", "join", "split", "splitext", "abspath", "relpath", "isabs"),
    *("normpath", "cpu_count", "sched_getaffinity", "getpid", "getcwd", "register_at_fork"),
}
# Not files: where standard output goes when its reader has gone.
ALLOWED = {"cli/app.py": {"devnull", "open", "O_WRONLY", "dup2", "close"}}
MODULES = {"io", "mmap", "pathlib", "shutil", "tempfile", "glob", "fcntl"}


def files():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(("storage/", "testing/")):
            yield name


@pytest.mark.parametrize("name", list(files()))
def test_no_file_is_touched_outside_storage(name):
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / name).read_bytes())):
        if isinstance(node, ast.Attribute):
            base = node.value
            is_os = isinstance(base, ast.Name) and base.id == "os"
            is_path = isinstance(base, ast.Attribute) and base.attr == "path"
            if is_os or (is_path and isinstance(base.value, ast.Name) and base.value.id == "os"):
                found.add(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "open", f"line {node.lineno} opens a file"
        elif isinstance(node, ast.Import):
            assert not MODULES & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in MODULES
            assert not (node.module or "").startswith("checkpointable.testing")
    assert found - HARMLESS <= ALLOWED.get(name, set())
