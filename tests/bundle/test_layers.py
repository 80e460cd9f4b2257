"""Inside `bundle`, imports go one way: encodings, index, reading and writing, V1."""

from __future__ import annotations

import pytest

from tests.test_imports import MODULES, _imported

BUNDLE = "checkpointable.bundle"

# Each layer, the lowest first, and the layers that it may import. The layer "" is that of the
# modules directly in `bundle`: the encodings, and numbers that all others share.
LAYERS = {
    "": "",
    "index": "",
    "reading": ", index",
    "v1": ", index, reading",
    "writing": ", index, reading",
    "opening": ", reading, v1",
}


def layer(name):
    inner = name.removeprefix(BUNDLE).lstrip(".").partition(".")[0]
    return inner if inner in LAYERS else ""


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(f"{BUNDLE}.")])
def test_a_layer_imports_only_the_layers_that_the_table_allows(name):
    allowed = {*LAYERS[layer(name)].split(", "), layer(name)}
    for line, target in _imported(name):
        if target.startswith(BUNDLE):
            assert target != BUNDLE, f"line {line} imports the package, which imports all layers"
            assert layer(target) in allowed, f"line {line}: {target}"


def test_a_layer_may_import_only_layers_above_it_in_the_table():
    layers = list(LAYERS)
    for number, (name, allowed) in enumerate(LAYERS.items()):
        assert set(allowed.split(", ")) <= {*layers[:number], ""}, name
