#!/usr/bin/env bash
# Orbax 0.12.8: a flipped bit is restored without an error, and a failed overwrite loses both checkpoints.
#
# A guess: the storage below (OCDBT) verifies what it reads, and `force=True` replaces the old checkpoint
# once the new one is complete.
# Seen: of 30 single bits flipped in the largest file of two random float32 arrays, none raises and each
# restores another number. `save(…, force=True)` deletes the old checkpoint first: when the new one cannot
# be written (here a limit on the size of files, as a full disk would be), neither is there.
#
# Output seen (orbax-checkpoint 0.12.8, jax 0.10.2, 2026-12-01):
#   30 bits flipped: 0 errors, 30 wrong restores
#   overwriting: ValueError, then FileNotFoundError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check \
  jax==0.10.2 jaxlib==0.10.2 orbax-checkpoint==0.12.8
JAX_PLATFORMS=cpu "$folder/env/bin/python" - "$folder" <<'PYTHON' 2>"$folder/log" || { tail -5 "$folder/log"; exit 1; }
import resource
import signal
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

rng = np.random.default_rng(0)


def arrays():
    return {name: jnp.asarray(rng.normal(size=(300, 300)).astype("float32")) for name in "ab"}


checkpointer, path = ocp.StandardCheckpointer(), Path(sys.argv[1], "checkpoint")
saved = arrays()
checkpointer.save(path, saved)
checkpointer.wait_until_finished()
largest = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
contents = largest.read_bytes()
errors = wrong = 0
for at in rng.integers(len(contents), size=30):
    damaged = bytearray(contents)
    damaged[at] ^= 16
    largest.write_bytes(damaged)
    try:
        restored = checkpointer.restore(path, saved)
    except Exception:
        errors += 1
    else:
        wrong += any(not np.array_equal(restored[name], saved[name]) for name in saved)
largest.write_bytes(contents)
print(f"30 bits flipped: {errors} errors, {wrong} wrong restores")
assert (errors, wrong) == (0, 30)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
seen = []
try:
    checkpointer.save(path, arrays(), force=True)
    checkpointer.wait_until_finished()
except Exception as error:
    seen.append(type(error).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
try:
    checkpointer.restore(path, saved)
except Exception as error:
    seen.append(type(error).__name__)
print("overwriting:", ", then ".join(seen))
assert len(seen) == 2
PYTHON
