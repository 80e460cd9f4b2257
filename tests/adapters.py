"""What holds for every adapter: its quicker answers are those of the plain ones."""

from __future__ import annotations

from typing import Any

from checkpointable.graph.adapter import Adapter
from checkpointable.graph.registry import adapter_of
from checkpointable.graph.value import ValueSource, ValueSpec, ValueTarget
from checkpointable.graph.walk import walk

ABSENT = ("", "no such name", "0", "-1", "00", "VARIABLE_VALUE", "kernel", "_x", "é")


def assert_answers_agree(adapter: Adapter, obj: Any) -> None:
    """`child` and `lookup` find what `children` lists; `value_names` names what `values` gives."""
    children = list(adapter.children(obj))
    assert len(dict(children)) == len(children)
    look_up = adapter.lookup(obj)
    for name, child in children:
        assert adapter.child(obj, name) is child, name
        assert look_up(name) is child, name
    for name in ABSENT:
        assert look_up(name) is adapter.child(obj, name), name
    values = adapter.values(obj)
    names = list(adapter.value_names(obj))
    assert names == Adapter.value_names(adapter, obj)
    assert names == [
        name
        for name, made in values.items()
        if not (made if isinstance(made, ValueSpec) else made("key")).absent
    ]
    for name in names:
        assert name in values
        made = values[name]
        assert_has_a_role(made if isinstance(made, ValueSpec) else made("key"))
    assert adapter.notes(obj) is adapter.notes(obj)


def assert_has_a_role(value: ValueSpec) -> None:
    """It is read and written itself, or its parts are, or an executor acts for it."""
    if value.parts is not None:
        for part in value.parts.values():
            assert_has_a_role(part)
    elif value.executor is None:
        assert isinstance(value, ValueSource | ValueTarget)


def assert_all_agree(root: Any) -> set[str]:
    """That of every object below `root`; the names of the adapters' classes."""
    found = walk(root, adapter_of, ())
    for obj, adapter in zip(found.objects, found.adapters, strict=True):
        assert_answers_agree(adapter, obj)
        assert adapter is adapter_of(obj)
    return {type(adapter).__name__ for adapter in found.adapters}
