"""Imports inside the package go one way, and importing it loads nothing slow or optional."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "checkpointable"

# Every room, the lowest first, and the rooms from which it may import: only such as stand above it
# in this table, so that no import goes up and no two rooms import each other. A room is a folder
# or a module of `checkpointable`, without what has a line of its own here. `folder.*` is the
# modules in a folder; `folder` then is its `__init__` alone in the lines of its own rooms, and all
# of its rooms in other lines.
ROOMS = {
    "errors": "",
    "common": "errors",
    "wire": "errors",
    "storage": "errors common",
    "manifest": "errors storage",
    "graph": "errors common wire",
    "tracking": "errors common graph",
    "adapters.watch": "graph",
    "adapters.notes": "common graph",
    "adapters.own": "graph tracking",
    "adapters.state": "errors common graph adapters.notes",
    "adapters.given": "graph tracking adapters.notes adapters.own adapters.state",
    "adapters.torch.private_api": "",
    "adapters.torch.notes": "common graph adapters.notes",
    "adapters.torch.watch": "graph adapters.watch adapters.torch.private_api",
    "adapters.torch.tensors": "errors graph adapters.torch.private_api adapters.torch.notes",
    "adapters.torch.modules": "errors common graph tracking adapters.watch adapters.notes "
    "adapters.state adapters.torch.private_api adapters.torch.notes adapters.torch.watch "
    "adapters.torch.tensors",
    "adapters.torch.optimizers": "errors common graph adapters.notes adapters.state "
    "adapters.torch.private_api adapters.torch.notes adapters.torch.watch adapters.torch.tensors "
    "adapters.torch.modules",
    "adapters.torch": "graph tracking adapters.own adapters.state adapters.torch.tensors "
    "adapters.torch.modules adapters.torch.optimizers",
    "adapters.tensorflow.private_api": "",
    "adapters.tensorflow.private_attributes": "adapters.tensorflow.private_api",
    "adapters.tensorflow.conversion": "graph adapters.tensorflow.private_api "
    "adapters.tensorflow.private_attributes",
    "adapters.tensorflow.variants": "wire",
    "adapters.tensorflow.deferred": "graph adapters.notes adapters.tensorflow.private_api "
    "adapters.tensorflow.private_attributes adapters.tensorflow.conversion",
    "adapters.tensorflow.saveables": "graph adapters.tensorflow.private_api "
    "adapters.tensorflow.private_attributes adapters.tensorflow.conversion",
    "adapters.tensorflow.partitioned": "graph adapters.tensorflow.private_attributes "
    "adapters.tensorflow.deferred",
    "adapters.tensorflow.eager": "graph adapters.tensorflow.private_api "
    "adapters.tensorflow.private_attributes adapters.tensorflow.conversion "
    "adapters.tensorflow.variants adapters.tensorflow.deferred adapters.tensorflow.saveables "
    "adapters.tensorflow.partitioned",
    "adapters.tensorflow.graph_mode": "graph adapters.tensorflow.private_api "
    "adapters.tensorflow.private_attributes adapters.tensorflow.conversion "
    "adapters.tensorflow.variants adapters.tensorflow.saveables adapters.tensorflow.partitioned",
    "adapters.tensorflow": "graph tracking adapters.notes adapters.tensorflow.private_api "
    "adapters.tensorflow.private_attributes adapters.tensorflow.deferred "
    "adapters.tensorflow.saveables adapters.tensorflow.partitioned adapters.tensorflow.eager "
    "adapters.tensorflow.graph_mode",
    "adapters": "graph adapters.state adapters.torch adapters.tensorflow "
    "adapters.tensorflow.graph_mode",
    "bundle.*": "errors common wire",
    "bundle.index": "errors common wire storage bundle.*",
    "bundle.reading": "errors common wire storage manifest graph bundle.* bundle.index",
    "bundle.v1": "errors common wire storage bundle.* bundle.index bundle.reading",
    "bundle.opening": "errors common storage manifest bundle.* bundle.reading bundle.v1",
    "bundle.writing": "errors common wire storage manifest bundle.* bundle.index bundle.reading "
    "bundle.opening",
    "bundle": "bundle.* bundle.index bundle.reading bundle.opening bundle.writing",
    "directory": "errors common wire storage manifest bundle",
    "saving": "errors common storage manifest graph adapters.watch adapters bundle",
    "readers.reader": "errors common graph bundle",
    "readers.formats": "storage manifest bundle readers.reader",
    "readers.foreign": "errors common storage graph adapters.torch.tensors bundle readers.reader "
    "readers.formats",
    "readers.*": "errors common storage manifest graph bundle directory readers.reader "
    "readers.formats readers.foreign",
    "readers": "readers.*",
    "restore.*": "errors common graph adapters.watch bundle readers",
    "restore.by_name": "errors common graph bundle readers restore.*",
    "restore": "bundle restore.* restore.by_name",
    "report": "errors common graph restore",
    "status": "errors common graph adapters.watch restore report",
    "comparison": "errors common storage manifest graph bundle readers restore report",
    "maintenance": "errors common storage manifest graph bundle directory saving readers restore",
    "savers": "errors common storage manifest graph tracking adapters.watch adapters.given "
    "adapters bundle directory saving readers restore report status",
    "manager": "errors common storage manifest graph tracking bundle directory saving status "
    "savers",
    "testing": "errors common storage bundle readers",
    "torch": "common",
    "abc": "graph bundle directory readers report status comparison savers manager storage",
    # The package itself, which puts the rooms together: all of them but the command line.
    "checkpointable": "errors graph tracking adapters.own adapters.state adapters.given "
    "adapters directory saving readers report status comparison maintenance savers manager torch "
    "abc",
    "cli": "errors common storage manifest graph bundle directory readers report "
    "comparison maintenance savers manager checkpointable",
}
SLOW = {
    *("tensorflow", "torch", "jax", "jaxlib", "keras", "safetensors"),
    *("crc32c", "google.protobuf", "ml_dtypes", "cramjam", "typer", "rich", "hypothesis"),
    "cryptography",
}


def _modules() -> dict[str, Path]:
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = _modules()


def _imported(name: str) -> Iterator[tuple[int, str]]:
    """Yields line and absolute name of each module of ours that the module `name` imports.

    Late imports count, and so do strings that name a module ("checkpointable.graph.walk:walk").
    """
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
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.partition(":")[0]
            names = [text] if "." in text and text in MODULES else []
        else:
            continue
        for target in names:
            if target.split(".")[0] == "checkpointable":
                yield node.lineno, target


def _room(name: str) -> str:
    """Returns the room of a module: the longest name in the table that leads to it."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        room = ".".join(parts[:length])
        is_folder = length < len(parts) or MODULES[name].name == "__init__.py"
        if room in ROOMS and not (length < len(parts) and f"{room}.*" in ROOMS):
            return room
        if is_folder and length == len(parts) - 1 and f"{room}.*" in ROOMS:
            return f"{room}.*"
    return parts[0] if parts else "checkpointable"


def _rooms_of(allowed: str, importer: str) -> set[str]:
    """Returns the rooms that a word in the line of `importer` stands for."""
    if f"{allowed}.*" not in ROOMS or f"{importer}.".startswith(f"{allowed}."):
        return {allowed}
    return {room for room in ROOMS if f"{room}.".startswith(f"{allowed}.")}


def _allowed(room: str) -> set[str]:
    return {one for allowed in ROOMS[room].split() for one in _rooms_of(allowed, room)}


@pytest.mark.parametrize("name", MODULES)
def test_a_room_imports_only_from_the_rooms_that_the_table_allows(name):
    allowed = {*_allowed(_room(name)), _room(name)}
    wrong = [f"line {line}: {to}" for line, to in _imported(name) if _room(to) not in allowed]
    assert not wrong, f"{name} imports what its room, {_room(name)}, may not import"


def test_a_room_may_import_only_from_rooms_above_it_in_the_table():
    rooms = list(ROOMS)
    for number, room in enumerate(ROOMS):
        assert _allowed(room) <= set(rooms[:number]), room


def test_every_room_of_the_table_exists():
    assert set(ROOMS) == {_room(name) for name in MODULES}


def test_no_name_of_a_module_is_put_together_from_parts():
    """Such an import would be seen by no test. The package has one, whose table a test checks."""
    for name in MODULES.keys() - {"checkpointable"}:
        for node in ast.walk(ast.parse(MODULES[name].read_bytes())):
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                assert not str(node.values[0].value).startswith("checkpointable."), name


@pytest.mark.parametrize(
    ("module", "source", "targets"),
    [
        ("checkpointable.graph", "from .. import errors", ["checkpointable.errors"]),
        ("checkpointable.graph", "from checkpointable import graph", ["checkpointable.graph"]),
        ("checkpointable.graph", "from . import x", ["checkpointable.graph"]),
        ("checkpointable.errors", "from .graph import y", ["checkpointable.graph"]),
        ("checkpointable.errors", "def f():\n  import checkpointable.graph.z as z", None),
        ("checkpointable.errors", "import numpy\nfrom os import path", []),
        ("checkpointable.errors", "x = 'checkpointable.graph:f'", ["checkpointable.graph"]),
        (
            "checkpointable.errors",
            "x = 'checkpointable.graph.walk:f'",
            ["checkpointable.graph.walk"],
        ),
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


LINES_MAX = 300


@pytest.mark.parametrize("name", MODULES)
def test_a_file_holds_one_concept(name):
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LINES_MAX, "split it by its concepts (docs/style.md)"
