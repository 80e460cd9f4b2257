"""The modules of `adapters/tensorflow` import downwards only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "src" / "checkpointable" / "adapters" / "tensorflow"
PACKAGE = "checkpointable.adapters.tensorflow."

# Each layer may import from those before it. A folder is one layer.
LAYERS = (
    {"private_api"},
    {"private_attributes"},
    {"conversion", "variants"},
    {"deferred", "saveables"},
    {"partitioned"},
    {"eager", "graph_mode"},
    {"checkpointables_inside", "keras_state", "slots"},
    {"overlooked"},
    {"trackables"},
    {"find"},
)
FILES: dict[str, list[Path]] = {}
for path in sorted(ROOM.rglob("*.py")):
    if path.name != "__init__.py":
        FILES.setdefault(path.relative_to(ROOM).with_suffix("").parts[0], []).append(path)


def imported(path):
    """The layers' names that a file imports from, late and typing-only imports included."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom):
            module = f"{node.module}."
            if module == PACKAGE:
                yield from (alias.name for alias in node.names)
            elif module.startswith(PACKAGE):
                yield module.removeprefix(PACKAGE).split(".")[0]


def test_every_module_has_a_layer():
    named = [name for layer in LAYERS for name in layer]
    assert sorted(named) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_from_the_layers_below_it(name):
    height = next(number for number, layer in enumerate(LAYERS) if name in layer)
    below = {name}.union(*LAYERS[:height])
    for path in FILES[name]:
        assert set(imported(path)) <= below, path.name


def test_imports_are_seen():
    assert {"conversion", "deferred", "eager"} <= set(imported(ROOM / "eager" / "variables.py"))
