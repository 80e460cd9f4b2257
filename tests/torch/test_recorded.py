"""Restores that `run_restore_ops` does: verified and told of as they were asked for (S25, S34)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import checkpointable as cp


def net() -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(50, 50) for _ in range(3)))


def on_meta() -> nn.Sequential:
    with torch.device("meta"):
        return net()


SIZE = 3 * (50 * 50 + 50) * 4


@pytest.mark.parametrize("make", [net, on_meta])
def test_damage_is_found_with_stream_wherever_the_values_go(tmp_path, make):
    # S25
    path = cp.Checkpoint(model=net()).write(tmp_path / "ckpt")
    data = tmp_path / "ckpt.data-00000-of-00001"
    contents = bytearray(data.read_bytes())
    contents[SIZE // 2] ^= 1
    data.write_bytes(contents)
    with pytest.raises(cp.CheckpointCorruptError, match=r"model/1/.*the index says"):
        cp.Checkpoint(model=make()).read(path, verify="stream").run_restore_ops()


@pytest.mark.parametrize("make", [net, on_meta])
@pytest.mark.parametrize("kind", ["checkpoint", "file", "by name"])
def test_what_is_restored_later_is_told_of(tmp_path, kind, make):
    whole, model = net(), make()
    if kind == "checkpoint":
        path = cp.Checkpoint(model=whole).write(tmp_path / "ckpt")
    elif kind == "file":
        path = tmp_path / "model.pt"
        torch.save(whole.state_dict(), path)
    else:
        named = {name: cp.Variable(t.numpy(), name=name) for name, t in whole.state_dict().items()}
        path = cp.Saver(list(named.values())).save(str(tmp_path / "named"))
    told = []
    status = cp.Checkpoint(model=model).read(path, progress=lambda *what: told.append(what))
    at_once = kind == "checkpoint" and make is net
    if not at_once:
        told.clear()
        status.run_restore_ops()
    assert torch.equal(model[0].weight, whole[0].weight)
    assert told[-1][0] == told[-1][1]
    # What has checksums and is verified first is gone through twice.
    first = 1 if kind == "checkpoint" and not at_once else 2
    last = 1 if make is on_meta else first
    assert told[-1][1] == last * SIZE
    done = len(told)
    status.run_restore_ops()
    assert kind != "checkpoint" or len(told) == done
