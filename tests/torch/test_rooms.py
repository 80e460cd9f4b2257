"""The modules of the PyTorch adapters, whose rooms `tests/test_imports.py` puts in order."""

from __future__ import annotations

from graphlib import TopologicalSorter

from tests.test_imports import MODULES, _imported


def test_no_module_imports_one_that_imports_it():
    names = [name for name in MODULES if name.startswith("checkpointable.adapters.torch.")]
    above = {name: {to for _, to in _imported(name) if to in names} for name in names}
    assert len(above) > 10
    TopologicalSorter(above).prepare()  # raises if there is a cycle
