"""What a save and a restore tell while they go on."""

from __future__ import annotations

import numpy as np
import pytest

import checkpointable as cp


@pytest.mark.parametrize(("verify", "passes"), [(True, 2), ("stream", 1), (False, 1)])
def test_a_restore_tells_how_far_it_is(tmp_path, verify, passes):
    checkpoint = cp.Checkpoint(
        large=cp.Variable(np.ones(10_000_000)),
        text=cp.Variable(["a", "b"]),
        state=cp.JSONState(epoch=1),
        **{f"v{i}": cp.Variable(np.ones(10)) for i in range(100)},
    )
    path = checkpoint.write(tmp_path / "ck", durability="flush")
    told = []
    checkpoint.read(path, verify=verify, progress=lambda *what: told.append(what))
    done = [done for done, _, _ in told]
    assert done == sorted(done)
    assert len({total for _, total, _ in told}) == 1
    assert told[-1][0] == told[-1][1]
    assert passes * 80_008_000 < told[-1][1] < passes * 80_008_200
    with cp.load_checkpoint(path) as reader:
        assert all(key in reader for _, _, key in told)
    saver, told_too = cp.CheckpointableSaver(checkpoint), []
    saver.restore(path, verify=verify, progress=lambda *what: told_too.append(what))
    assert told_too == told


def test_what_is_restored_does_not_depend_on_it(tmp_path):
    variable, state = cp.Variable(np.arange(1000.0)), cp.JSONState(a=[1])
    path = cp.Checkpoint(v=variable, s=state).write(tmp_path / "ck", durability="flush")
    variable.assign(np.zeros(1000))
    state["a"] = 2
    told = []
    status = cp.Checkpoint(v=variable, s=state).read(path, progress=lambda *_: told.append(_))
    status.assert_consumed()
    assert (variable.numpy() == np.arange(1000.0)).all()
    assert state == {"a": [1]}
    assert told
