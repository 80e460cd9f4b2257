"""Tracked containers beside plain ones: any sequence of changes gives the same, and is saved."""

from __future__ import annotations

import tempfile
from collections import OrderedDict

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

import checkpointable as cp
from tests.semantics.helpers import Module, edges, save, variable

RUN = settings(max_examples=150, deadline=None, database=None)


class Items:
    """Items to put into containers: each another one; some tracked, some wrapped, some plain."""

    def __init__(self, draw):
        self._draw = draw
        self.untracked = []
        self.count = 0

    def new(self):
        """(what is assigned to the tracked container, what the plain one gets)"""
        kind = self._draw(st.sampled_from(["variable", "variable", "module", "number", "left out"]))
        self.count += 1
        if kind == "number":
            return self.count, self.count
        item = Module() if kind == "module" else variable(self.count)
        if kind == "left out":
            self.untracked.append(item)
            return cp.NoDependency(item), item
        return item, item

    def several(self, count=None):
        count = self._draw(st.integers(0, 3)) if count is None else count
        pairs = [self.new() for _ in range(count)]
        return [tracked for tracked, _ in pairs], [plain for _, plain in pairs]

    def given(self, needs, as_many):
        """What a change needs: for the tracked container, and for the plain one."""
        if needs == "one":
            return self.new()
        if needs == "nothing":
            return None, None
        return self.several(as_many if needs == "as many" else None)

    def is_dependency(self, item):
        return not isinstance(item, int) and not any(item is other for other in self.untracked)


def both(change, tracked, plain, new):
    """Does the same to both; whatever one raises the other raises."""
    outcomes = []
    for container, item in zip((tracked, plain), new, strict=True):
        try:
            outcomes.append(change(container, item))
        except (IndexError, KeyError, ValueError) as error:
            outcomes.append(type(error))
    assert outcomes[0] is outcomes[1] or outcomes[0] == outcomes[1]


def extend_in_place(container, new):
    container += new


def set_if_there(container, item, index):
    if -len(container) <= index < len(container):
        container[index] = item


# What a change needs, and how it is done: (container, new item or items, index, part).
STEPPED = slice(None, None, -2)
LIST_CHANGES = {
    "append": ("one", lambda c, new, i, s: c.append(new)),
    "insert": ("one", lambda c, new, i, s: c.insert(i, new)),
    "set": ("one", lambda c, new, i, s: set_if_there(c, new, i)),
    "extend": ("several", lambda c, new, i, s: c.extend(iter(new))),
    "+=": ("several", lambda c, new, i, s: extend_in_place(c, new)),
    "set part": ("several", lambda c, new, i, s: c.__setitem__(s, iter(new))),
    "set stepped": ("as many", lambda c, new, i, s: c.__setitem__(STEPPED, new)),
    "pop": ("nothing", lambda c, new, i, s: c.pop(i)),
    "remove": ("nothing", lambda c, new, i, s: c.remove(c[0] if c else 0)),
    "del": ("nothing", lambda c, new, i, s: c.__delitem__(i)),
    "del part": ("nothing", lambda c, new, i, s: c.__delitem__(s)),
    "del stepped": ("nothing", lambda c, new, i, s: c.__delitem__(STEPPED)),
    "reverse": ("nothing", lambda c, new, i, s: c.reverse()),
    "sort": ("nothing", lambda c, new, i, s: c.sort(key=id)),
    "*=": ("nothing", lambda c, new, i, s: c.__imul__(i // 3) is c),
    "clear": ("nothing", lambda c, new, i, s: c.clear()),
}


def change_list(draw, items, tracked, plain):
    needs, change = LIST_CHANGES[draw(st.sampled_from(list(LIST_CHANGES)))]
    index, ends = draw(st.integers(-4, 6)), st.none() | st.integers(-4, 6)
    part = draw(st.builds(slice, ends, ends))
    new = items.given(needs, len(plain[STEPPED]))
    both(lambda c, item: change(c, item, index, part), tracked, plain, new)


def saved_names(root):
    """The local names of the dependencies of the container, as they are saved."""
    with tempfile.TemporaryDirectory() as directory:
        found = edges(save(root, f"{directory}/c"))
    return [name for parent, name, _ in found if parent == 1]


# S3
@pytest.mark.parametrize("by_hand", [False, True])
def test_any_changes_of_a_list(by_hand):
    @seed(by_hand)
    @RUN
    @given(st.data())
    def run(data):
        items = Items(data.draw)
        assigned, plain = items.several()
        root = Module(it=cp.List(assigned) if by_hand else assigned)
        tracked = root.it
        for _ in range(data.draw(st.integers(0, 12))):
            change_list(data.draw, items, tracked, plain)
            assert tracked is root.it
            assert tracked == plain
            assert all(a is b for a, b in zip(tracked, plain, strict=True))
            assert repr(tracked) == repr(plain)
        expected = [str(i) for i, item in enumerate(plain) if items.is_dependency(item)]
        assert saved_names(root) == expected

    run()


def merge_in_place(container, new):
    container |= new


# (container, new item or items by key, key)
DICT_CHANGES = {
    "set": ("one", lambda c, new, key: c.__setitem__(key, new)),
    "setdefault": ("one", lambda c, new, key: key in c or not c.setdefault(key, new)),
    "update": ("several", lambda c, new, key: c.update(dict(zip("acd", new, strict=False)))),
    "pairs": ("several", lambda c, new, key: c.update(zip("acd", new, strict=False))),
    "keywords": ("several", lambda c, new, key: c.update(**dict(zip("acd", new, strict=False)))),
    "|=": ("several", lambda c, new, key: merge_in_place(c, dict(zip("bx", new, strict=False)))),
    "del": ("nothing", lambda c, new, key: c.__delitem__(key)),
    "pop": ("nothing", lambda c, new, key: c.pop(key)),
    "pop or": ("nothing", lambda c, new, key: c.pop(key, None)),
    "popitem": ("nothing", lambda c, new, key: c.popitem()),
    "clear": ("nothing", lambda c, new, key: c.clear()),
}
ORDERED_CHANGES = {
    **DICT_CHANGES,
    "popitem first": ("nothing", lambda c, new, key: c.popitem(last=False)),
    "to the end": ("nothing", lambda c, new, key: c.move_to_end(key)),
    "to the front": ("nothing", lambda c, new, key: c.move_to_end(key, last=False)),
}


def change_dict(draw, items, tracked, plain):
    changes = ORDERED_CHANGES if isinstance(plain, OrderedDict) else DICT_CHANGES
    needs, change = changes[draw(st.sampled_from(list(changes)))]
    key = draw(st.sampled_from(["a", "b", "c", "a/b", ""]))
    both(lambda c, item: change(c, item, key), tracked, plain, items.given(needs, 0))


# S3
@pytest.mark.parametrize("kind", [dict, OrderedDict, cp.Dict])
def test_any_changes_of_a_dict(kind):
    @seed(0)
    @RUN
    @given(st.data())
    def run(data):
        items = Items(data.draw)
        assigned, several = items.several()
        names = ["b", "a", "x"]
        root = Module(it=kind(zip(names, assigned, strict=False)))
        plain = (dict if kind is cp.Dict else kind)(zip(names, several, strict=False))
        tracked = root.it
        for _ in range(data.draw(st.integers(0, 12))):
            change_dict(data.draw, items, tracked, plain)
            assert tracked is root.it
            assert tracked == plain
            assert list(tracked) == list(plain)
            assert list(reversed(tracked)) == list(reversed(plain))
            assert all(tracked[key] is plain[key] for key in plain)
        expected = [key for key, item in plain.items() if items.is_dependency(item)]
        assert saved_names(root) == expected

    run()
