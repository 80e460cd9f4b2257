#!/usr/bin/env bash
# Orbax 0.12.8: restoring an int32 array into a float32 target converts it, and loses digits, silently.
#
# A guess: a checkpoint library that is given a target of another dtype raises, or at least rounds
# only between floating-point types.
# Seen: StandardCheckpointer checks shapes and structure (it raises for both) but casts every dtype to the
# target's: 16777217 comes back as 16777216.0. An array of size zero and a string are refused at save.
#
# Output seen (orbax-checkpoint 0.12.8, jax 0.10.2, 2026-12-01):
#   saved int32 16777217, restored float32 16777216.0, no error
#   save of an array of shape (0, 3): ValueError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check \
  jax==0.10.2 jaxlib==0.10.2 orbax-checkpoint==0.12.8
JAX_PLATFORMS=cpu "$folder/env/bin/python" - "$folder" <<'PYTHON' 2>"$folder/log" || { tail -5 "$folder/log"; exit 1; }
import sys

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(f"{sys.argv[1]}/a", {"steps": jnp.array([16777217], jnp.int32)})
    checkpointer.wait_until_finished()
    target = {"steps": jax.ShapeDtypeStruct((1,), jnp.float32)}
    restored = checkpointer.restore(f"{sys.argv[1]}/a", target)["steps"]
    print(f"saved int32 16777217, restored {restored.dtype} {float(restored[0]):.1f}, no error")
    assert restored.dtype == jnp.float32 and float(restored[0]) == 16777216.0
    try:
        checkpointer.save(f"{sys.argv[1]}/b", {"x": jnp.zeros((0, 3))})
        checkpointer.wait_until_finished()
    except ValueError as error:
        print("save of an array of shape (0, 3): ValueError")
    else:
        raise SystemExit("an empty array was saved: this has changed")
PYTHON
