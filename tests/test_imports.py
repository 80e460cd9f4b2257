"""Imports inside the package go one way, and importing it loads nothing slow or optional."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "checkpointable"

# Each lower room, and those that it may import from (docs/design.md, the picture). A room is
# a package or a module under `checkpointable`; the registry is a room within a room.
BELOW = {
    "errors": set(),
    "common": {"errors"},
    "wire": {"errors"},
    "storage": {"errors", "common"},
    "manifest": {"errors", "storage"},
    "graph": {"errors", "common", "wire"},
    "tracking": {"errors", "graph"},
    "adapters": {"errors", "common", "graph", "tracking"},
    "bundle": {"errors", "common", "wire", "storage", "manifest"},
    "directory": {"errors", "common", "wire", "storage", "manifest", "bundle"},
    "saving": {"errors", "common", "manifest", "graph", "adapters", "bundle"},
    "restore": {"errors", "common", "graph", "adapters", "bundle"},
    "report": {"errors", "graph", "restore"},
    "status": {"errors", "common", "graph", "adapters", "restore", "report"},
}
SLOW = {
    *("tensorflow", "torch", "jax", "jaxlib", "keras", "safetensors"),
    *("crc32c", "google.protobuf", "ml_dtypes", "cramjam", "typer", "rich", "hypothesis"),
    "cryptography",
}


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imported(name: str) -> Iterator[tuple[int, str]]:
    """(line, absolute name) of every module of ours that `name` imports, late ones included."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes(), path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*above, *([source] if source else [])])
            # `from checkpointable import graph` imports the module, not only the package.
            inner = [f"{source}.{alias.name}" for alias in node.names]
            names = [full if full in MODULES else source for full in inner]
        else:
            continue
        for target in names:
            if target.split(".")[0] == "checkpointable":
                yield node.lineno, target


def _room(name: str) -> str:
    parts = name.split(".")[1:]
    return ".".join(parts[:2]) if ".".join(parts[:2]) in BELOW else "".join(parts[:1])


@pytest.mark.parametrize("name", [n for n in MODULES if _room(n) in BELOW])
def test_a_room_imports_only_from_the_rooms_below_it(name):
    allowed = BELOW[_room(name)] | {_room(name)}
    wrong = [f"line {line}: {to}" for line, to in _imported(name) if _room(to) not in allowed]
    assert not wrong, f"{name} imports what is not below it"


@pytest.mark.parametrize("name", [n for n in MODULES if _room(n) not in {"cli", "__main__"}])
def test_nothing_imports_the_command_line(name):
    assert not [line for line, to in _imported(name) if _room(to) == "cli"]


def test_no_room_imports_one_that_imports_it():
    above: dict[str, set[str]] = {}
    for name in MODULES:
        above.setdefault(_room(name), set()).update(_room(to) for _, to in _imported(name))
    TopologicalSorter({room: to - {room} for room, to in above.items()}).prepare()  # no cycle


def test_the_lower_rooms_are_those_that_exist():
    assert {"", *BELOW} <= {_room(name) for name in MODULES}


@pytest.mark.parametrize(
    ("module", "source", "targets"),
    [
        ("checkpointable.graph", "from .. import errors", ["checkpointable.errors"]),
        ("checkpointable.graph", "from checkpointable import graph", ["checkpointable.graph"]),
        ("checkpointable.graph", "from . import x", ["checkpointable.graph"]),
        ("checkpointable.errors", "from .graph import y", ["checkpointable.graph"]),
        ("checkpointable.errors", "def f():\n  import checkpointable.graph.z as z", None),
        ("checkpointable.errors", "import numpy\nfrom os import path", []),
    ],
)
def test_every_form_of_import_is_seen(module, source, targets, monkeypatch, tmp_path):
    path = tmp_path / ("__init__.py" if MODULES[module].name == "__init__.py" else "m.py")
    path.write_text(source)
    monkeypatch.setitem(MODULES, module, path)
    expected = ["checkpointable.graph.z"] if targets is None else targets
    assert [name for _, name in _imported(module)] == expected


def _loaded_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_imports_no_framework_and_nothing_slow():
    assert not SLOW & _loaded_by("import checkpointable")


def test_a_public_name_is_loaded_when_it_is_first_asked_for():
    assert not {"checkpointable.savers.saver", "checkpointable.bundle"} & _loaded_by(
        "import checkpointable"
    )
    loaded = _loaded_by("import checkpointable as cp; cp.CheckpointableSaver")
    assert "checkpointable.savers.saver" in loaded
    assert not {"checkpointable.comparison", "checkpointable.manager.manager"} & loaded


def test_the_public_names_need_no_framework():
    loaded = _loaded_by("from checkpointable import *")
    assert not {"tensorflow", "torch", "jax", "keras", "safetensors"} & loaded


def test_a_loaded_framework_is_seen_by_the_same_test():
    assert "crc32c" in _loaded_by("import checkpointable, crc32c") & SLOW
