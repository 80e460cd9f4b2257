"""The copies that saves which do not block take of values: which, where, how much."""

from __future__ import annotations

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.bundle import DataType, Staging, StagingMemory, ValueToWrite, make_layout
from checkpointable.bundle.writing.staging import is_immutable
from checkpointable.saving.async_saving import _shared_memory
from tests.async_saving.helpers import program, stored


def values_to_write(arrays, fresh=()):
    return [
        ValueToWrite(
            key, DataType.DT_INT8, array.shape, lambda array=array: array, (), key in fresh
        )
        for key, array in arrays.items()
    ]


def test_what_nobody_can_change_is_not_copied():
    frozen = np.zeros(100, np.int8)  # whoever has it may make it writeable again
    frozen.flags.writeable = False
    view = np.zeros(100, np.int8)
    read_only = view[:]
    read_only.flags.writeable = False
    of_bytes = np.frombuffer(bytes(100), np.int8)
    assert not is_immutable(frozen)
    assert not is_immutable(frozen[5:])
    assert is_immutable(of_bytes)
    assert is_immutable(of_bytes[5:])
    assert not is_immutable(view)
    assert not is_immutable(read_only)
    assert not is_immutable(np.frombuffer(memoryview(bytearray(100)).toreadonly(), np.int8))

    arrays = {"a": frozen, "b": view, "c": read_only, "d": of_bytes, "e": np.zeros(100, np.int8)}
    layout = make_layout(values_to_write(arrays, fresh={"e"}))
    memory = StagingMemory()
    Staging(layout).copy(memory)
    copied = {
        placed.value.key
        for placed in layout.values
        if not np.shares_memory(placed.value.read(), arrays[placed.value.key])
    }
    assert copied == {"a", "b", "c"}
    assert memory.size == 384


@pytest.mark.parametrize("how", ["by a view of before", "made writeable again"])
def test_a_read_only_array_that_is_changed_all_the_same(tmp_path, gate, how):
    table = np.ones(1000)
    before = table[:]
    table.flags.writeable = False

    class Frozen(cp.Checkpointable):
        def _gather_saveables_for_checkpoint(self):
            return {"VARIABLE_VALUE": cp.Value("float64", (1000,), lambda: table, print)}

    handle = cp.Checkpoint(v=Frozen()).save_async(tmp_path / "ck")
    if how == "by a view of before":
        before[:] = 2
    else:
        table.flags.writeable = True
        table[:] = 2
    gate.set()
    assert (stored(handle.result()) == 1).all()


def test_jax_arrays_are_not_copied():
    from jax import numpy

    assert is_immutable(np.asarray(numpy.arange(1000.0)))


@pytest.mark.parametrize("limit", [0, 99, 128, 300, 640, 10_000])
def test_the_memory_for_copies_is_bounded(limit):
    arrays = {f"k{i}": np.full(100, i, np.int8) for i in range(5)}
    layout = make_layout(values_to_write(arrays))
    memory = StagingMemory()
    staging = Staging(layout, limit)
    staging.copy(memory)
    assert memory.size <= limit
    for i, placed in enumerate(layout.values):
        shared = np.shares_memory(placed.value.read(), arrays[f"k{i}"])
        assert shared == (i < staging.direct)
    assert 5 - staging.direct == min(5, 0 if limit < 100 else (limit - 100) // 128 + 1)


def test_memory_is_used_again_and_goes_with_the_last_saver(tmp_path):
    _, checkpoint = program(size=10_000)
    checkpoint.save_async(tmp_path / "ck").result()
    memory = _shared_memory()
    buffer = memory._memory
    assert memory.size >= 80_000
    checkpoint.save_async(tmp_path / "ck").result()
    assert memory._memory is buffer
    checkpoint.save_async(tmp_path / "ck", max_staging_bytes=100).result()
    assert memory.size <= 100
    with pytest.raises(ValueError, match="max_staging_bytes is -1"):
        checkpoint.save_async(tmp_path / "ck", max_staging_bytes=-1)


def test_tensors_are_as_they_were(tmp_path):  # pytorch/pytorch#144657, with its own objects
    import torch

    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    checkpoint = cp.Checkpoint(model=model, optimizer=optimizer)
    handle = checkpoint.save_async(tmp_path / "ck")
    optimizer.step()
    with torch.no_grad():
        model.weight.zero_()
    handle.result()
    other = torch.nn.Linear(3, 2)
    cp.Checkpoint(model=other).restore(handle.path).expect_partial()
    assert all(torch.equal(other.state_dict()[name], before[name]) for name in before)
