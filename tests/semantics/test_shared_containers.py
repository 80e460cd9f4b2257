"""One plain container in several places is one tracked object (S3)."""

from __future__ import annotations

import copy
import gc
import pickle
from collections import OrderedDict, namedtuple

import pytest

import checkpointable as cp
from tests.semantics.helpers import Module, edges, keys, restore, save, variable


# S3
def test_a_list_under_two_attributes_is_changed_through_either(tmp_path):
    plain = [variable(1)]
    root = Module(a=plain, b=plain)
    assert root.a is root.b
    root.a.append(variable(2))
    root.b.append(variable(3))
    assert plain == root.a
    path = save(root, tmp_path / "c")
    assert keys(path) == ["a/0", "a/1", "a/2"]
    assert [(name, node) for owner, name, node in edges(path) if owner == 0] == [("a", 1), ("b", 1)]
    again = Module(a=[variable()], b=None)
    again.b = again.a
    status = restore(again, path)
    again.b += [variable(), variable()]
    status.assert_consumed()
    assert [float(v) for v in again.a] == [1, 2, 3]


# S3
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_dict_of_two_owners(tmp_path, kind):
    plain = kind(k=variable(1))
    root = Module(one=Module(d=plain), two=Module(nested=[plain, (plain, 7)]))
    assert root.one.d is root.two.nested[0] is root.two.nested[1][0]
    root.two.nested[0]["l"] = variable(2)
    assert keys(save(root, tmp_path / "c")) == ["one/d/k", "one/d/l"]


# S3: restored into two lists, as another program may have it, the second is told
def test_what_was_one_and_is_two(tmp_path):
    plain = [variable(1)]
    path = save(Module(a=plain, b=plain), tmp_path / "c")
    root = Module(a=[variable()], b=[variable()])
    with pytest.raises(AssertionError, match=r"refused: b \("):
        restore(root, path).assert_consumed()


# S3
def test_assigned_again_after_a_change_through_the_old_name(tmp_path):
    plain = [variable(1)]
    root = Module(a=plain)
    plain.append(variable(2))
    with pytest.raises(ValueError, match=r"^a: the list was changed through its old name"):
        save(root, tmp_path / "c")
    root.a = plain
    assert keys(save(root, tmp_path / "c")) == ["a/0", "a/1"]


# S4
def test_what_is_left_out_stays_left_out_in_the_second_place(tmp_path):
    plain = [cp.NoDependency(variable(1)), variable(2)]
    root = Module(a=plain)
    root.b = plain
    assert keys(save(root, tmp_path / "c")) == ["a/1"]


# S3
def test_copies_share_as_the_original_does():
    plain = [variable(1)]
    root = Module(a=plain, b=plain)
    for other in (copy.deepcopy(root), pickle.loads(pickle.dumps(root))):
        assert other.a is other.b
        assert other.a is not root.a
        other.a.append(variable(2))
        assert len(root.a) == len(plain) == 1


def test_a_tracked_form_is_not_kept_alive():
    plain = [variable(1)]
    root = Module(a=plain)
    first = id(root.a)
    root.a.marked = True
    del root.a
    gc.collect()
    root.b = plain
    assert not hasattr(root.b, "marked"), first


# S3, S9
@pytest.mark.parametrize("depth", [500, 3000])
@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "named", "mixed"])
def test_deep_nests(tmp_path, depth, kind):
    pair = namedtuple("pair", "x")
    makes = {
        "list": [lambda inner: [inner]],
        "dict": [lambda inner: {"k": inner}],
        "tuple": [lambda inner: (inner,)],
        "named": [pair],
        "mixed": [lambda inner: [inner], lambda inner: {"k": inner}, lambda inner: (inner, 1)],
    }[kind]

    def nest(value):
        innermost = inner = variable(value)
        for level in range(depth):
            inner = makes[level % len(makes)](inner)
        return Module(deep=inner), innermost

    path = save(nest(5)[0], tmp_path / "c")
    root, innermost = nest(0)
    restore(root, path).assert_consumed()
    assert float(innermost) == 5


# S3
def test_a_tuple_that_tracks_nothing_stays_what_it_is():
    plain = (1, (2, ("three", (4,))))
    assert Module(a=plain).a is plain
