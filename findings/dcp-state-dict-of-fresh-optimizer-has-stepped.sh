#!/usr/bin/env bash
# PyTorch 2.13.0: asking DCP's helper for the state of an optimizer that never stepped makes it step.
#
# A guess: `get_optimizer_state_dict` only reads.
# Seen: for an optimizer without state it runs one `step()` with zero gradients and learning rate 0, to
# make the state. What stays is `step` = 1 for every parameter, in the returned dict and in the
# optimizer itself, so Adam's bias correction of the real first step is that of the second.
#
# Output seen (torch 2.13.0, CPU, 2026-12-01):
#   before: 0 parameters with state
#   after:  2 parameters with state, step [1.0, 1.0]
#   first update of a weight: 0.1 expected, 0.0744... got
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/env/bin/python" -W ignore - <<'PYTHON'
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict


def first_update(looked):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    if looked:
        print(f"before: {len(optimizer.state)} parameters with state")
        get_optimizer_state_dict(model, optimizer)
        steps = [float(state["step"]) for state in optimizer.state.values()]
        print(f"after:  {len(optimizer.state)} parameters with state, step {steps}")
        assert steps == [1.0, 1.0]
    before = model.weight.detach().clone()
    optimizer.zero_grad()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return float((before - model.weight.detach()).abs().max())


plain, looked = first_update(False), first_update(True)
print(f"first update of a weight: {plain:.4f} expected, {looked:.4f} got")
assert abs(plain - 0.1) < 1e-6
assert abs(looked - plain) > 1e-3
PYTHON
