"""An error of a user's hook stays the error that it is, and names the object's path."""

from __future__ import annotations

import json
import pickle
import traceback
from dataclasses import dataclass

import pytest

import checkpointable as cp
from checkpointable.errors import CheckpointUnsupportedError, at_path
from tests.semantics.helpers import Module, restore, save, variable


class TwoArguments(ValueError):
    """An error whose constructor does not take one text."""

    def __init__(self, limit, value):
        super().__init__(limit, value)
        self.limit, self.value = limit, value

    def __str__(self):
        return f"{self.value} is above {self.limit}"


class NoValueError(RuntimeError):
    """An error of no type that a hook is expected to raise."""


class Failing(cp.Checkpointable):
    """Raises `error` from the hook `fails`."""

    def __init__(self, error=None, fails=""):
        self.error = cp.NoDependency(error)
        self.fails = fails
        self.inner = variable(1)

    def _raise_in(self, hook):
        if self.fails == hook:
            raise self.error

    @property
    def _checkpoint_dependencies(self):
        self._raise_in("dependencies")
        return super()._checkpoint_dependencies

    def _lookup_dependency(self, name):
        self._raise_in("lookup")
        return super()._lookup_dependency(name)

    def _gather_saveables_for_checkpoint(self):
        self._raise_in("values")
        return {"state": cp.Value("int64", (), lambda: 1, lambda contents: None)}


def _undecodable():
    try:
        json.loads("{1}")
    except json.JSONDecodeError as error:
        return error


def _not_utf8():
    try:
        b"\xff".decode("utf-8")
    except UnicodeDecodeError as error:
        return error


ERRORS = {
    "json": (_undecodable, ("msg", "doc", "pos", "lineno")),
    "unicode": (_not_utf8, ("encoding", "object", "start", "end", "reason")),
    "two arguments": (lambda: TwoArguments(3, 5), ("limit", "value", "args")),
    "of another kind": (lambda: NoValueError("not today"), ("args",)),
    "one of ours": (
        lambda: CheckpointUnsupportedError("no such kind", path="f.index", key="k", offset=7),
        ("path", "key", "offset", "what"),
    ),
}
# The hook that fails, and what is done with the object: one for each piece of code that calls it.
PLACES = [
    ("dependencies", "save"),
    ("values", "save"),
    ("lookup", "restore"),
    ("values", "restore"),
]


@pytest.mark.parametrize(("hook", "action"), PLACES)
@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_of_a_hook_keeps_its_type_and_gets_a_path(tmp_path, kind, hook, action):
    make, attributes = ERRORS[kind]
    error = make()
    before = {name: getattr(error, name) for name in attributes}
    text = str(error)
    root = Module(part=Module(it=Failing(error, hook)))
    path = save(Module(part=Module(it=Failing())), tmp_path / "whole")
    with pytest.raises(type(error)) as caught:
        save(root, tmp_path / "c") if action == "save" else restore(root, path)
    assert caught.value is error
    assert {name: getattr(error, name) for name in attributes} == before
    printed = "".join(traceback.format_exception(error))
    assert "part/it" in "\n".join([printed, *getattr(error, "__notes__", ())])
    assert text in printed
    if kind == "one of ours":
        assert (
            str(error) == f"part/it: {text}" == "part/it: f.index, key 'k', offset 7: no such kind"
        )
        assert error.object_path == "part/it"
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("kind", [ValueError, NotImplementedError])
def test_a_plain_error_begins_with_the_path(tmp_path, kind):
    root = Module(it=Failing(kind("it is closed"), "values"))
    with pytest.raises(kind) as caught:
        save(root, tmp_path / "c")
    assert str(caught.value) == "it: it is closed"
    with pytest.raises(kind, match=r"^the root: it is closed$"):
        save(Failing(kind("it is closed"), "values"), tmp_path / "c")


def test_a_second_path_does_not_hide_the_first():
    error = CheckpointUnsupportedError("no such kind", key="k")
    at_path(error, "inner")
    at_path(error, "outer")
    assert str(error) == "inner: key 'k': no such kind"
    assert error.__notes__ == ["at outer"]


def test_an_error_that_refuses_a_note_goes_on_as_it_is():
    @dataclass(frozen=True)
    class Frozen(Exception):
        code: int

    error = Frozen(3)
    at_path(error, "a")
    assert error == Frozen(3)


def test_a_restore_by_name_names_the_path_too(tmp_path):
    path = cp.Saver({"state": variable(1)}).save(tmp_path / "names")
    error = _undecodable()
    status = restore(Module(it=Failing(error, "values")), path)
    with pytest.raises(json.JSONDecodeError) as caught:
        status.run_restore_ops()
    assert caught.value is error
    assert error.__notes__ == ["at it"]
    status.expect_partial()
