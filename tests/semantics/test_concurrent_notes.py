"""Threads that ask for the notes of one object at the same time get the same notes (S21)."""

from __future__ import annotations

import copy
import gc
import time
from collections import namedtuple

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.adapters.notes import Beside, NotesByObject
from checkpointable.graph.registry import adapter_of
from checkpointable.tracking.containers.tuples import tracked_tuple_type
from checkpointable.tracking.dependencies import dependencies_of
from tests.threads import at_the_same_time, slow_notes

TIMES = 20


class Thing:
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def notes_of(obj):
    return adapter_of(obj).notes(obj)


ORIGINALS = []  # that are alive, so that a copy must not take over what is theirs


def a_copy():
    original = cp.Checkpointable()
    original.inner = cp.Variable(1.0)
    ORIGINALS.append(original)
    return copy.copy(original)


@pytest.mark.parametrize(
    "make",
    [cp.Checkpointable, lambda: cp.Variable(0.0), a_copy, cp.List, cp.Dict, Thing, cp.Optimizer],
    ids=["checkpointable", "variable", "copy", "list", "dict", "state_dict", "optimizer"],
)
def test_notes_are_made_once(make, monkeypatch):
    with slow_notes(monkeypatch):
        for _ in range(TIMES):
            obj = make()
            notes = at_the_same_time(lambda obj=obj: notes_of(obj))
            assert len({id(one) for one in notes}) == 1
            assert notes_of(obj) is notes[0]


def test_the_dependencies_of_a_copy_are_taken_over_once(monkeypatch):
    with slow_notes(monkeypatch):
        for _ in range(TIMES):
            original = cp.Checkpointable()
            original.inner = cp.Variable(1.0)
            copied = copy.copy(original)
            made = at_the_same_time(lambda copied=copied: dependencies_of(copied))
            assert len({id(one) for one in made}) == 1
            assert dependencies_of(copied) is not dependencies_of(original)
            assert dependencies_of(copied).by_name == dependencies_of(original).by_name


def test_no_dependency_is_lost_where_threads_assign_the_first(monkeypatch):
    with slow_notes(monkeypatch):
        for _ in range(TIMES):
            obj = cp.Checkpointable()
            names = iter([f"v{number}" for number in range(8)])
            at_the_same_time(lambda obj=obj, names=names: setattr(obj, next(names), cp.Variable(0)))
            assert len(dependencies_of(obj).by_name) == 8


def test_no_slot_is_lost_where_threads_add_the_first(monkeypatch):
    with slow_notes(monkeypatch):
        for _ in range(TIMES):
            optimizer = cp.Optimizer()
            variables = [cp.Variable(np.zeros(2)) for _ in range(8)]
            rest = iter(variables)
            at_the_same_time(lambda o=optimizer, r=rest: o.add_slot(next(r), "m", np.zeros(2)))
            assert all(optimizer.get_slot(variable, "m") is not None for variable in variables)


def test_an_item_beside_an_object_is_made_once():
    def make(_):
        time.sleep(0.001)
        return object()

    for _ in range(TIMES):
        beside = Beside(make)
        obj = Thing()
        assert len(set(at_the_same_time(lambda b=beside, o=obj: b.of(o)))) == 1


def test_an_item_goes_with_its_object():
    beside = NotesByObject()
    things = [Thing() for _ in range(100)]
    for thing in things:
        beside.of(thing)
    assert len(beside._kept) == 100
    del things, thing
    gc.collect()
    assert not beside._kept


def test_the_tracked_form_of_a_tuple_type_is_one_type():
    for number in range(TIMES):
        plain = namedtuple(f"Pair{number}", "a b")
        assert len(set(at_the_same_time(lambda plain=plain: tracked_tuple_type(plain)))) == 1
