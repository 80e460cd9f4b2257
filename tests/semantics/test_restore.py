"""Restoring what exists: what matches, what is left alone, and errors that change nothing."""

from __future__ import annotations

import gc
import os
import weakref

import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Counter, Module, restore, save, variable


# S19
def test_objects_match_along_edges_of_equal_names(tmp_path):
    path = save(
        Module(a=Module(x=variable(1), gone=variable(2)), items=[variable(3), variable(4)]),
        tmp_path / "c",
    )
    root = Module(
        a=Module(x=variable(), own=variable(5)),
        other=Module(x=variable(6)),
        items=[variable(), variable(), variable(7)],
    )
    restore(root, path).expect_partial()
    assert [float(v) for v in (root.a.x, *root.items[:2])] == [1, 3, 4]
    assert [float(v) for v in (root.a.own, root.other.x, root.items[2])] == [5, 6, 7]


# S19
def test_the_classes_of_objects_do_not_matter(tmp_path):
    class Other(cp.Checkpointable):
        pass

    path = save(Module(a={"x": variable(1)}, b=[variable(2)]), tmp_path / "c")
    root = Other()
    root.a, root.b = Module(x=variable()), {"0": variable()}
    restore(root, path).assert_consumed()
    assert (float(root.a.x), float(root.b["0"])) == (1, 2)


# S19
def test_a_part_of_the_program_is_restored_alone(tmp_path):
    whole = save(Module(net=Module(x=variable(1)), y=variable(2)), tmp_path / "whole")
    part = save(Module(x=variable(3)), tmp_path / "part")
    net = Module(x=variable())
    restore(Module(net=net), whole).expect_partial()
    assert float(net.x) == 1
    restore(net, part).assert_consumed()
    assert float(net.x) == 3


# S19
def test_an_object_in_place_of_a_number(tmp_path):
    path = save(Module(a=3, b=variable(1)), tmp_path / "c")
    root = Module(a=variable(5), b=3)
    restore(root, path).expect_partial()
    assert float(root.a) == 5
    root.b = variable()  # the dependency comes later, in the attribute's place
    assert float(root.b) == 1


# S20
def test_values_are_assigned_in_place_before_restore_returns(tmp_path):
    path = save(Module(v=cp.Variable(np.arange(6.0).reshape(2, 3)), n=Counter(4)), tmp_path / "c")
    root = Module(v=cp.Variable(np.zeros((2, 3))), n=Counter())
    v, memory = root.v, np.asarray(root.v)
    restore(root, path)
    assert root.v is v
    assert memory.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.shares_memory(np.asarray(root.v), memory)
    assert root.n.count == 4


# S20
@pytest.mark.parametrize("verify", ["steam", "", None, 1, 2.0])
def test_a_misspelt_verify_is_refused_and_does_not_mean_unverified(tmp_path, verify):  # S25
    root = cp.Checkpoint(v=cp.Variable([1.0, 2.0]))
    path = root.write(tmp_path / "ck")
    by_name = cp.Saver([cp.Variable(0.0, name="n")])
    named = by_name.save(tmp_path / "named")
    root.v.assign([3.0, 4.0])
    for refused in (
        lambda: root.read(path, verify=verify),
        lambda: root.read(named, verify=verify),
        lambda: by_name.restore(named, verify=verify),
    ):
        with pytest.raises(ValueError, match=r"verify is .*; it must be True"):
            refused()
    assert root.v.numpy().tolist() == [3.0, 4.0]


@pytest.mark.parametrize("verify", [True, "stream", False])
def test_every_way_of_verifying_restores_the_same(tmp_path, verify):
    root = Module(
        v=cp.Variable(np.arange(100_000.0)),
        s=cp.Variable(["a", "ü"]),
        e=cp.Variable(np.zeros((0, 2))),
    )
    path = save(root, tmp_path / "c")
    root.v.assign(np.zeros(100_000))
    root.s.assign([b"", b""])
    restore(root, path, verify=verify).assert_consumed()
    assert root.v.numpy().tolist() == list(range(100_000))
    assert root.s.numpy().tolist() == [b"a", "ü".encode()]


def everything(root):
    """All of a program's values, to be compared before and after."""
    return (
        root.a.v.numpy().tolist(),
        root.z.numpy().tolist(),
        root.n.count,
        root.s.numpy().tolist(),
        root.opt.get_slot(root.z, "m").numpy().tolist(),
    )


def program(filler, shape=(3,), dtype="float64"):
    root = Module(
        a=Module(v=cp.Variable(np.full(shape, filler), dtype=dtype)),
        n=Counter(filler),
        s=cp.Variable([str(filler)]),
        z=cp.Variable(np.full(3, filler)),
        opt=cp.Optimizer(),
    )
    root.opt.add_slot(root.z, "m", np.full(3, float(filler)))
    return root


# S25
@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((4,), "float64", r"a/v: shape \(3,\) in the checkpoint, \(4,\) in the program"),
        ((3, 1), "float64", r"a/v: shape \(3,\) in the checkpoint, \(3, 1\) in the program"),
        ((), "float64", r"a/v: shape \(3,\) in the checkpoint, \(\) in the program"),
        ((3,), "float32", "a/v: dtype float64 in the checkpoint, float32 in the program"),
        ((3,), "string", "a/v: dtype float64 in the checkpoint, string in the program"),
        ((2,), "int64", "dtype float64 in the checkpoint, int64 in the program; shape"),
    ],
)
def test_a_mismatch_leaves_every_variable_as_it_was(tmp_path, shape, dtype, words):
    path = save(program(1), tmp_path / "c")
    root = program(2)
    root.a.v = (
        cp.Variable(np.zeros(shape), dtype=dtype) if dtype != "string" else cp.Variable(["x"])
    )
    before = everything(root)
    with pytest.raises(cp.CheckpointMismatchError, match=words) as caught:
        restore(root, path)
    assert everything(root) == before
    assert path in str(caught.value)
    assert isinstance(caught.value, ValueError)
    root.a.v = cp.Variable(np.zeros(3))  # and it can be tried again
    restore(root, path).assert_consumed()
    assert everything(root) == everything(program(1))


# S25
def test_many_mismatches_are_listed_up_to_ten_and_counted(tmp_path):
    path = save(Module(items=[variable(n) for n in range(25)]), tmp_path / "c")
    root = Module(items=[cp.Variable([0.0, 1.0], dtype="float32") for _ in range(25)])
    with pytest.raises(cp.CheckpointMismatchError, match="25 value") as caught:
        restore(root, path)
    message = str(caught.value)
    assert message.count("in the checkpoint") == 10
    assert "15 more" in message


# S25
def test_a_mismatch_deep_below_is_found_before_the_first_assignment(tmp_path):
    path = save(Module(a=variable(1), deep={"x": [{"y": variable(2)}]}), tmp_path / "c")
    root = Module(a=variable(3), deep={"x": [{"y": cp.Variable(4)}]})
    with pytest.raises(cp.CheckpointMismatchError, match="deep/x/0/y: dtype float32 in the checkp"):
        restore(root, path)
    assert float(root.a) == 3


# S25
def test_a_mismatching_slot(tmp_path):
    path = save(program(1), tmp_path / "c")
    root = program(2)
    root.opt = cp.Optimizer()
    root.opt.add_slot(root.z, "m", np.zeros(4))
    before = everything(root)
    with pytest.raises(cp.CheckpointMismatchError, match=r"z/\.OPTIMIZER_SLOT/opt/m: shape"):
        restore(root, path)
    assert everything(root) == before


# S25
def flip(path, key):
    """Flips a bit of a value, found by what it is: written as little-endian doubles."""
    data = path.with_name(path.name + ".data-00000-of-00001")
    contents = bytearray(data.read_bytes())
    position = contents.index(key)
    contents[position] ^= 0x10
    data.write_bytes(contents)


# S25 S33
@pytest.mark.parametrize(
    ("what", "key"),
    [
        (np.full(3, 1.25).tobytes(), "a/v/.ATTRIBUTES/VARIABLE_VALUE"),
        (b"a string that is found", "s/.ATTRIBUTES/VARIABLE_VALUE"),
        (np.full(3, 9.75).tobytes(), "z/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/VARIABLE_VALUE"),
    ],
)
def test_a_damaged_value_changes_nothing(tmp_path, what, key):
    root = program(1)
    root.a.v.assign(np.full(3, 1.25))
    root.s = cp.Variable(["a string that is found"])
    root.opt.get_slot(root.z, "m").assign(np.full(3, 9.75))
    path = save(root, tmp_path / "c")
    flip(tmp_path / "c", what)
    root = program(2)
    before = everything(root)
    with pytest.raises(cp.CheckpointCorruptError) as caught:
        restore(root, path)
    assert everything(root) == before
    assert caught.value.path == f"{path}.data-00000-of-00001"
    assert caught.value.key == key
    assert isinstance(caught.value.offset, int)
    assert f"{path}.data-00000-of-00001, key {key!r}, offset" in str(caught.value)


# S25
def test_a_damaged_value_that_nothing_matches_does_no_harm(tmp_path):
    root = program(1)
    root.extra = cp.Variable(np.full(2, 3.25))
    path = save(root, tmp_path / "c")
    flip(tmp_path / "c", np.full(2, 3.25).tobytes())
    other = program(2)
    restore(other, path).expect_partial()
    assert everything(other) == everything(program(1))
    with pytest.raises(cp.CheckpointCorruptError, match="extra"):
        other.extra = cp.Variable(np.zeros(2))
    assert other.extra.numpy().tolist() == [0, 0]


# S25: waived by request
def test_without_verification_damage_goes_through(tmp_path):
    root = Module(v=cp.Variable(np.full(3, 1.25)))
    path = save(root, tmp_path / "c")
    flip(tmp_path / "c", np.full(3, 1.25).tobytes())
    restore(root, path, verify=False)
    assert root.v.numpy().tolist() != [1.25] * 3
    with pytest.raises(cp.CheckpointCorruptError, match="with verify='stream' the values before"):
        restore(root, path, verify="stream")
    with pytest.raises(cp.CheckpointCorruptError) as caught:
        restore(root, path)
    assert "assigned by now" not in str(caught.value)


# S26
def test_files_may_be_deleted_while_something_waits(tmp_path):
    path = save(Module(a=Module(v=variable(1)), b=variable(2)), tmp_path / "c")
    root = Module(b=variable())
    status = restore(root, path)
    for file in tmp_path.iterdir():
        file.unlink()
    root.a = Module()
    root.a.v = variable()
    assert float(root.a.v) == 1
    status.assert_consumed()


# S26
@pytest.mark.parametrize("times", [1, 2, 3])
def test_files_may_be_overwritten_while_something_waits(tmp_path, times):
    path = save(Module(v=variable(1)), tmp_path / "c")
    root = Module()
    restore(root, path)
    for number in range(times):
        assert save(Module(v=variable(10 + number)), tmp_path / "c") == path
    root.v = variable()
    assert float(root.v) == 1
    restore(root, path)
    assert float(root.v) == 10 + times - 1


# S26
def test_pending_restores_hold_no_object_alive(tmp_path):
    source = Module(net=Module(v=variable(1), late=variable(2)), opt=cp.Optimizer())
    source.opt.add_slot(source.net.v, "m", 0.0)
    path = save(source, tmp_path / "c")
    root = Module(net=Module(v=variable(), items=[{"x": Module()}]))
    status = restore(root, path).expect_partial()
    inner = [weakref.ref(o) for o in (root.net, root.net.v, root.net.items)]
    del root.net
    gc.collect()
    assert [reference() for reference in inner] == [None] * 3
    root.net = Module(late=variable())  # a node goes to one object, be it gone
    assert float(root.net.late) == 0
    with pytest.raises(AssertionError):
        status.assert_consumed()
    outer = weakref.ref(root)
    del root, status
    gc.collect()
    assert outer() is None


def open_files(directory):
    """The files of a directory that this process holds open (Linux)."""
    names = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:  # that of the listing itself
            continue
    return [name for name in names if name.startswith(str(directory))]


# S26
def test_no_file_stays_open_once_nothing_waits(tmp_path):
    path = save(Module(a=variable(1), b=Module(v=variable(2))), tmp_path / "c")
    root = Module(a=variable(), b=Module(v=variable()))
    status = restore(root, path)
    assert open_files(tmp_path) == []
    status.assert_consumed()
    late = Module()
    status = restore(late, path)
    late.a, late.b = variable(), Module(v=variable())
    assert open_files(tmp_path) == []
    partial = Module(a=variable())
    status = restore(partial, path).expect_partial()
    del partial, status
    gc.collect()
    assert open_files(tmp_path) == []


# S26
def test_restoring_again_and_again_keeps_one_restore(tmp_path):
    path = save(Module(a=variable(1), never=Module(v=variable(2))), tmp_path / "c")
    root = Module(a=variable())
    held = []
    for _ in range(50):
        restore(root, path).expect_partial()
        gc.collect()
        held.append(len(open_files(tmp_path)))
    assert held == held[:1] * 50
    root.never = Module(v=variable())
    assert float(root.never.v) == 2


# S33
def test_a_path_with_no_checkpoint_names_its_neighbours(tmp_path):
    root = Module(v=variable(3))
    for number in (1, 2, 13):
        save(root, tmp_path / "ckpt", number)
    with pytest.raises(FileNotFoundError) as caught:
        restore(root, str(tmp_path / "ckpt-7"))
    assert isinstance(caught.value, cp.CheckpointNotFoundError)
    message = str(caught.value)
    assert str(tmp_path / "ckpt-7") in message
    assert all(name in message for name in ("'ckpt-1'", "'ckpt-2'", "'ckpt-13'"))
    assert float(root.v) == 3


# S33
def test_a_path_with_no_checkpoint_and_no_neighbours(tmp_path):
    root = Module(v=variable())
    for path in (tmp_path / "c", tmp_path / "nothing" / "here", tmp_path):
        with pytest.raises(cp.CheckpointNotFoundError, match=str(path)):
            restore(root, path)
        with pytest.raises(cp.CheckpointNotFoundError, match=str(path)):
            cp.load_checkpoint(path)
    many = [save(root, tmp_path / "ckpt", number) for number in range(30)]
    with pytest.raises(cp.CheckpointNotFoundError, match="20 more"):
        restore(root, str(tmp_path / "x"))
    assert len(many) == 30


# S33
def test_an_index_without_its_data(tmp_path):
    root = Module(v=variable(3))
    path = save(root, tmp_path / "c")
    data = tmp_path / "c.data-00000-of-00001"
    data.unlink()
    with pytest.raises(cp.CheckpointCorruptError, match=f"{data}: .*missing"):
        restore(root, path)
    assert float(root.v) == 3


# S33
def test_an_object_of_another_kind_is_no_path(tmp_path):
    with pytest.raises(TypeError):
        restore(Module(v=variable()), 3)
