"""Slot variables: when they are saved, under which key, and how they come back in any order."""

from __future__ import annotations

import copy
import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Module, edges, keys, restore, save, variable


def model(value=1.0):
    """net/v with the slots m and n of opt."""
    root = Module(net=Module(v=variable(value)), opt=cp.Optimizer())
    root.opt.add_slot(root.net.v, "m", np.float32(value + 1))
    root.opt.add_slot(root.net.v, "n", np.full(2, value + 2))
    return root


def slots(optimizer, v):
    found = (optimizer.get_slot(v, "m"), optimizer.get_slot(v, "n"))
    return [None if slot is None else slot.numpy().tolist() for slot in found]


# S11
def test_the_key_of_a_slot(tmp_path):
    root = model()
    setattr(root, "a/o", root.opt)
    path = save(root, tmp_path / "c")
    assert keys(path) == [
        *("net/v", "net/v/.OPTIMIZER_SLOT/opt/m", "net/v/.OPTIMIZER_SLOT/opt/n"),
    ]
    # No ordinary child, and after all other nodes.
    assert edges(path) == [(0, "net", 1), (0, "opt", 2), (0, "a/o", 2), (1, "v", 3)]
    assert cp.object_metadata(path).nodes[2].slot_variables == [(3, "m", 4), (3, "n", 5)]


# S11
def test_it_is_saved_only_if_optimizer_and_variable_are_reachable(tmp_path):
    root = model()
    assert keys(save(Module(net=root.net), tmp_path / "a")) == ["net/v"]
    assert keys(save(Module(opt=root.opt), tmp_path / "b")) == []
    assert keys(save(root.net, tmp_path / "c")) == ["v"]
    assert len(keys(save(Module(deep=[root]), tmp_path / "d"))) == 3


# S11
def test_a_model_that_shares_the_optimizer_but_is_not_reachable_adds_nothing(tmp_path):
    root, other = model(), variable(5)
    root.opt.add_slot(other, "m", 0.0)
    root.opt.add_slot(other, "z", 0.0)
    path = save(root, tmp_path / "c")
    assert len(keys(path)) == 3
    root.other = other
    assert "other/.OPTIMIZER_SLOT/opt/z" in keys(save(root, tmp_path / "c"))


# S11
def test_two_optimizers_and_one_variable(tmp_path):
    root = model()
    root.second = cp.Optimizer()
    root.second.add_slot(root.net.v, "m", 7.0)
    path = save(root, tmp_path / "c")
    assert "net/v/.OPTIMIZER_SLOT/second/m" in keys(path)
    other = Module(net=Module(v=variable()), opt=cp.Optimizer(), second=cp.Optimizer())
    restore(other, path).assert_consumed()
    assert slots(other.opt, other.net.v) == [2, [3, 3]]
    assert float(other.second.get_slot(other.net.v, "m")) == 7


# S11
def test_add_slot_returns_what_exists_unchanged():
    opt, v = cp.Optimizer(), variable()
    slot = opt.add_slot(v, "m", 3.0)
    assert opt.add_slot(v, "m", 9.0) is slot
    assert opt.get_slot(v, "m") is slot
    assert float(slot) == 3
    assert opt.get_slot(v, "n") is None
    assert opt.get_slot(variable(), "m") is None
    assert opt.get_slot_names() == ["m"]
    opt.add_slot(v, "a", lambda: np.zeros(2))
    assert opt.get_slot_names() == ["a", "m"]


# S11
def test_slots_go_by_identity_not_by_name_or_value():
    opt, a, b = cp.Optimizer(), cp.Variable(1.0, name="x"), cp.Variable(1.0, name="x")
    opt.add_slot(a, "m", 1.0)
    assert opt.get_slot(b, "m") is None
    assert opt.add_slot(b, "m", 2.0) is not opt.get_slot(a, "m")
    assert opt.get_slot(a, "m").name == "x/m"


# S11
@pytest.mark.parametrize("pickled", [False, True])
def test_copies_keep_their_slots(tmp_path, pickled):
    root = model()
    copied = pickle.loads(pickle.dumps(root)) if pickled else copy.deepcopy(root)
    assert slots(copied.opt, copied.net.v) == [2, [3, 3]]
    assert copied.opt.get_slot(root.net.v, "m") is None
    copied.opt.get_slot(copied.net.v, "m").assign(9)
    assert slots(root.opt, root.net.v) == [2, [3, 3]]
    path = save(copied, tmp_path / "c")
    assert len(keys(path)) == 3
    restore(copied, path).assert_consumed()


# S11
def test_a_shallow_copy_has_slots_of_its_own_from_then_on():
    opt, v = cp.Optimizer(), variable()
    slot = opt.add_slot(v, "m", 1.0)
    other = copy.copy(opt)
    assert other.get_slot(v, "m") is slot
    other.add_slot(v, "n", 2.0)
    assert opt.get_slot_names() == ["m"]


# S11
def test_a_slot_can_be_no_dependency(tmp_path):
    root = model()
    root.moment = root.opt.get_slot(root.net.v, "m")
    with pytest.raises(
        NotImplementedError, match=r"opt: slot 'm' of net/v is also stored as moment"
    ):
        save(root, tmp_path / "c")
    root.moment = cp.NoDependency(root.moment)
    assert len(keys(save(root, tmp_path / "c"))) == 3


# S22: optimizer first, variable first, net later, slot before and after; all orders
STEPS = ["net", "v", "opt", "add m"]


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS)), ids="-".join)
@pytest.mark.parametrize("restored_after", range(5))
def test_every_order_of_building(tmp_path, order, restored_after):
    path = save(model(), tmp_path / "c")
    root, net, v, opt = Module(), Module(), variable(), cp.Optimizer()
    do = {
        "net": lambda: setattr(root, "net", net),
        "v": lambda: setattr(net, "v", v),
        "opt": lambda: setattr(root, "opt", opt),
        "add m": lambda: opt.add_slot(v, "m", np.float32(0)),
    }
    status = None
    for number, step in enumerate(order):
        if number == restored_after:
            status = restore(root, path)
        do[step]()
    status = status or restore(root, path)
    assert slots(opt, v) == [2, [3, 3]]  # n is made by the restore (S22)
    assert float(v) == 1
    status.assert_consumed().assert_existing_objects_matched()


# S22
def test_a_pending_value_wins_over_the_initial_one(tmp_path):
    path = save(model(), tmp_path / "c")
    root = Module(net=Module(v=variable()), opt=cp.Optimizer())
    restore(root, path)

    def never():
        raise AssertionError("the initial value was asked for")

    assert float(root.opt.add_slot(root.net.v, "m", never)) == 2
    assert root.opt.get_slot_names() == ["m", "n"]


# S22
def test_an_existing_slot_is_assigned_in_place(tmp_path):
    path = save(model(), tmp_path / "c")
    root = model(10.0)
    m = root.opt.get_slot(root.net.v, "m")
    memory = np.asarray(m)
    restore(root, path).assert_consumed()
    assert root.opt.get_slot(root.net.v, "m") is m
    assert memory == 2


# S22
def test_partly_tracked_programs(tmp_path):
    source = model()
    source.other = variable(5)
    source.opt.add_slot(source.other, "m", 6.0)
    path = save(source, tmp_path / "c")
    root = Module(opt=cp.Optimizer(), other=variable())
    status = restore(root, path)
    assert float(root.opt.get_slot(root.other, "m")) == 6
    assert root.opt.get_slot_names() == ["m"]
    with pytest.raises(AssertionError, match=r"net/v/\.OPTIMIZER_SLOT/opt/m"):
        status.assert_consumed()
    root.net = Module()
    root.net.v = variable()
    assert slots(root.opt, root.net.v) == [2, [3, 3]]
    status.assert_consumed()


# S22
def test_slots_wait_in_vain_for_an_optimizer_without_any(tmp_path):
    path = save(model(), tmp_path / "c")
    root = Module(net=Module(v=variable()), opt=Module())
    status = restore(root, path)
    with pytest.raises(AssertionError, match=r"net/v/\.OPTIMIZER_SLOT/opt/n"):
        status.assert_consumed()
    status.assert_existing_objects_matched()
    status.expect_partial()


# S22
def test_an_optimizer_of_ones_own_with_the_same_methods(tmp_path):
    class Own(cp.Checkpointable):
        def __init__(self):
            self.slots = cp.NoDependency({})

        def get_slot_names(self):
            return sorted({name for _, name in self.slots})

        def get_slot(self, variable, slot_name):
            return self.slots.get((id(variable), slot_name))

        def add_slot(self, variable, slot_name, initial):
            key = (id(variable), slot_name)
            return self.slots.setdefault(key, cp.Variable(initial))

    root = Module(v=variable(1), opt=Own())
    root.opt.add_slot(root.v, "m", 4.0)
    path = save(root, tmp_path / "c")
    assert keys(path) == ["v", "v/.OPTIMIZER_SLOT/opt/m"]
    other = Module(v=variable(), opt=Own())
    restore(other, path).assert_consumed()
    assert float(other.opt.get_slot(other.v, "m")) == 4


# S22
def test_slots_of_a_shared_variable_are_saved_and_restored_once(tmp_path):
    v = variable(1)
    root = Module(a=[v], b={"v": v}, opt=cp.Optimizer())
    root.opt.add_slot(v, "m", 2.0)
    path = save(root, tmp_path / "c")
    assert keys(path) == ["a/0", "a/0/.OPTIMIZER_SLOT/opt/m"]
    late = Module(opt=cp.Optimizer())
    status = restore(late, path)
    w = variable()
    late.b = {"v": w}
    late.a = [w]
    assert float(late.opt.get_slot(w, "m")) == 2
    status.assert_consumed()


# S22
def test_an_object_without_values_may_have_slots(tmp_path):
    root = Module(opt=cp.Optimizer(), layer=Module())
    root.opt.add_slot(root.layer, "age", 3.0)
    path = save(root, tmp_path / "c")
    late = Module(opt=cp.Optimizer())
    status = restore(late, path)
    late.layer = Module()
    assert float(late.opt.get_slot(late.layer, "age")) == 3
    status.assert_consumed()


# S25: a slot is prepared beside its optimizer, which has it once all is restored
def test_an_optimizer_gets_no_slot_before_all_is_known_to_be_good(tmp_path):
    path = save(model(), tmp_path / "c")
    data = Path(f"{path}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[
        cp.load_checkpoint(path)
        .entry("net/v/.OPTIMIZER_SLOT/opt/n/.ATTRIBUTES/VARIABLE_VALUE")
        .offset
    ] ^= 1
    data.write_bytes(content)
    root = Module(net=Module(v=variable()), opt=cp.Optimizer())
    with pytest.raises(cp.CheckpointCorruptError):
        restore(root, path)
    assert root.opt.get_slot_names() == []
    assert float(root.net.v) == 0


# S22
def test_an_add_slot_that_returns_nothing(tmp_path):
    class Own(cp.Checkpointable):
        def __init__(self):
            self.slots = cp.NoDependency({})

        def get_slot_names(self):
            return sorted({name for _, name in self.slots})

        def get_slot(self, variable, slot_name):
            return self.slots.get((id(variable), slot_name))

        def add_slot(self, variable, slot_name, initial):
            self.slots[id(variable), slot_name] = cp.Variable(initial)

    root = Module(v=variable(1), opt=Own())
    root.opt.add_slot(root.v, "m", 4.0)
    path = save(root, tmp_path / "c")
    other = Module(v=variable(), opt=Own())
    status = restore(other, path)
    status.assert_consumed()
    assert float(other.opt.get_slot(other.v, "m")) == 4
