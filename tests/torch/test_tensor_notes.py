"""Tensors that were saved and restored: their copies and pickles have nothing of this library."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import threading

import pytest
import torch
from torch import nn

import checkpointable as cp
from checkpointable.adapters.torch import notes
from checkpointable.adapters.torch.notes import notes_of_tensor


def saved_and_restored(tmp_path, tensor: torch.Tensor) -> torch.Tensor:
    path = cp.Checkpoint(t=tensor).write(tmp_path / "ckpt")
    cp.Checkpoint(t=tensor).read(path).assert_consumed()
    return tensor


def through_torch_save(tensor: torch.Tensor, *, weights_only: bool) -> torch.Tensor:
    file = io.BytesIO()
    torch.save(tensor, file)
    assert b"checkpointable" not in file.getvalue()
    file.seek(0)
    return torch.load(file, weights_only=weights_only)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda tensor: pickle.loads(pickle.dumps(tensor)),
    "torch.save": lambda tensor: through_torch_save(tensor, weights_only=True),
    "torch.save, pickle": lambda tensor: through_torch_save(tensor, weights_only=False),
}


class Special(torch.Tensor):
    def new_empty(self, *args, **kwargs):
        return torch.empty(*args, **kwargs).as_subclass(Special)


MAKE = {
    "tensor": lambda: torch.arange(3.0),
    "parameter": lambda: nn.Parameter(torch.arange(3.0)),
    "subclass": lambda: torch.arange(3.0).as_subclass(Special),
}
# PyTorch itself loads no subclass with `weights_only=True`.
MADE_AND_COPIED = sorted({*itertools.product(MAKE, COPIES)} - {("subclass", "torch.save")})


@pytest.mark.parametrize(("make", "way"), MADE_AND_COPIED)
def test_a_copy_is_that_of_a_tensor_that_was_never_saved(tmp_path, make, way):
    tensor = saved_and_restored(tmp_path, MAKE[make]())
    assert notes_of_tensor(tensor).sources
    clone = COPIES[way](tensor)
    assert type(clone) is type(tensor)
    assert torch.equal(clone, tensor)
    assert clone.__dict__ == {}
    assert type(clone.__dict__) is dict
    assert tensor.__dict__ == {}


def written(tensor: torch.Tensor) -> bytes:
    file = io.BytesIO()
    torch.save(tensor, file)
    return file.getvalue()


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("write", [pickle.dumps, written])
def test_its_pickle_is_the_same_as_before(tmp_path, make, write):
    tensor = MAKE[make]()
    before = write(tensor)
    saved_and_restored(tmp_path, tensor)
    assert write(tensor) == before


@pytest.mark.parametrize(("make", "way"), MADE_AND_COPIED)
def test_attributes_of_the_program_are_copied_as_without_notes(tmp_path, make, way):
    fresh, tensor = MAKE[make](), MAKE[make]()
    fresh.tag, tensor.tag = ["a"], ["a"]
    saved_and_restored(tmp_path, tensor)
    tensor.late = fresh.late = 3
    del tensor.late, fresh.late
    expected, clone = COPIES[way](fresh), COPIES[way](tensor)
    assert vars(clone) == vars(expected)
    assert type(vars(clone)) is dict
    assert vars(tensor) == vars(fresh) == {"tag": ["a"]}
    if hasattr(clone, "tag"):
        assert (clone.tag is tensor.tag) == (expected.tag is fresh.tag)


def test_notes_stay_with_their_tensor_and_a_copy_has_others(tmp_path):
    tensor = saved_and_restored(tmp_path, torch.ones(2))
    noted = notes_of_tensor(tensor)
    clone = copy.copy(tensor)
    assert notes_of_tensor(clone) is not noted
    assert notes_of_tensor(tensor) is noted
    clone.__dict__ = tensor.__dict__  # as some libraries do
    assert notes_of_tensor(clone) is not noted
    tensor.__dict__ = {}
    assert notes_of_tensor(tensor) is not noted


def test_tensors_can_still_be_swapped_after_a_save(tmp_path):
    # `Module.to` swaps in some programs; weak references would forbid it
    net = nn.Linear(2, 3)
    path = cp.Checkpoint(net=net).write(tmp_path / "ckpt")
    before = net.weight
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        net.to(torch.float64)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert net.weight is before
    assert net.weight.dtype == torch.float64
    with pytest.raises(cp.CheckpointMismatchError, match=r"net/weight.*float64"):
        cp.Checkpoint(net=net).read(path)


def test_two_threads_get_the_same_notes(monkeypatch):
    # Both are held up where notes are made, as long as it takes to see whether both come there.
    barrier = threading.Barrier(2)

    class Slow(notes.TensorNotes):
        __slots__ = ()

        def __init__(self, tensor_id: int) -> None:
            try:
                barrier.wait(0.5)
            except threading.BrokenBarrierError:
                pass
            super().__init__(tensor_id)

    monkeypatch.setattr(notes, "TensorNotes", Slow)
    tensor = torch.ones(2)
    given = []
    threads = [threading.Thread(target=lambda: given.append(notes_of_tensor(tensor))) for _ in "12"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given[0] is given[1]


def test_an_attribute_set_while_notes_are_made_is_kept(monkeypatch):
    tensor = torch.ones(2)
    tensor.early = 1
    real = notes._Attributes

    def slow(items, made):
        attributes = real(items, made)
        tensor.late = 2  # another thread, at this moment
        return attributes

    slow_type = type("_Slow", (real,), {"__new__": lambda _, items, made: slow(items, made)})
    monkeypatch.setattr(notes, "_Attributes", slow_type)
    notes_of_tensor(tensor)
    assert vars(tensor) == {"early": 1, "late": 2}
