#!/usr/bin/env bash
# PyTorch 2.13.0: Tensor.numpy() makes a storage non-resizable for good; NumPy's from_dlpack does not.
#
# A guess: a NumPy view borrows a tensor's memory, and once the view is gone the tensor is as before.
# Seen: after `tensor.numpy()` the storage can never be resized again, even when the array has been
# deleted. FSDP2 resizes the storages of its parameters between forward and backward, so a checkpoint
# library that reads a gathered parameter through `.numpy()` breaks the next training step.
# `numpy.from_dlpack(tensor)` reads the same memory, also without a copy, and leaves it resizable.
#
# Output seen (torch 2.13.0, numpy 2.4.6, CPU, 2026-12-01):
#   from_dlpack: shares memory True, resizable afterwards True
#   numpy():     shares memory True, resizable afterwards False
#   RuntimeError: Trying to resize storage that is not resizable
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/env/bin/python" - <<'PYTHON'
import gc

import numpy as np
import torch


def look(read):
    tensor = torch.arange(6.0)
    array = read(tensor)
    shared = array.ctypes.data == tensor.data_ptr()
    del array
    gc.collect()
    return shared, tensor.untyped_storage().resizable(), tensor


shared, resizable, _ = look(np.from_dlpack)
print(f"from_dlpack: shares memory {shared}, resizable afterwards {resizable}")
assert shared and resizable
shared, resizable, tensor = look(torch.Tensor.numpy)
print(f"numpy():     shares memory {shared}, resizable afterwards {resizable}")
assert shared and not resizable
try:
    tensor.untyped_storage().resize_(0)
except RuntimeError as error:
    print(f"RuntimeError: {error}".splitlines()[0])
    assert "not resizable" in str(error)
else:
    raise SystemExit("the storage was resized: this has changed")
PYTHON
