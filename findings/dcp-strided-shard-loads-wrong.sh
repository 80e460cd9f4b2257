#!/usr/bin/env bash
# PyTorch 2.13.0: DCP loads a DTensor whose layout came from flatten() with wrong values, without an error.
#
# A guess: what DCP saved loads into any layout that DTensor itself makes.
# Seen: flattening a tensor that is sharded along dimension 1 gives a `_StridedShard`: the local part is
# several ranges of the whole. DCP asks for one range (offset and shape), so each rank loads the wrong
# numbers. Nothing raises.
#
# Output seen (torch 2.13.0, gloo, 2 processes on a CPU, 2026-12-01):
#   layout: _StridedShard
#   rank 0: loaded [0, 1, 2, 3, 4, 5], its part is [0, 1, 2, 6, 7, 8]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/program.py" <<'PYTHON'
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

dist.init_process_group("gloo")
rank = dist.get_rank()
mesh = init_device_mesh("cpu", (2,))
whole = torch.arange(12.0)
dcp.save({"x": whole}, checkpoint_id=sys.argv[1])
target = distribute_tensor(torch.zeros(2, 6), mesh, [Shard(1)]).flatten()
expected = distribute_tensor(whole.reshape(2, 6), mesh, [Shard(1)]).flatten().to_local()
assert isinstance(target, DTensor)
state = {"x": target}
dcp.load(state, checkpoint_id=sys.argv[1])
loaded = state["x"].to_local()
if rank == 0:
    print("layout:", type(target.placements[0]).__name__)
    print(f"rank 0: loaded {loaded.int().tolist()}, its part is {expected.int().tolist()}")
assert not torch.equal(loaded, expected), "DCP loads it right: this has changed"
dist.destroy_process_group()
PYTHON
"$folder/env/bin/torchrun" --nproc-per-node 2 --master-addr 127.0.0.1 --master-port 29777 \
  "$folder/program.py" "$folder/checkpoint" 2>"$folder/log" || { cat "$folder/log"; exit 1; }
