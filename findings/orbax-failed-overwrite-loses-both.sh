#!/usr/bin/env bash
# Orbax 0.12.8: a save with force=True that fails loses both checkpoints, the old one and the new one.
#
# A guess: `force=True` replaces the old checkpoint once the new one is complete.
# Seen: `save(…, force=True)` deletes the old checkpoint first. When the new one cannot be written (here a
# limit on the size of files, as a full disk would be), neither is there.
#
# Output seen (orbax-checkpoint 0.12.8, jax 0.10.2, 2026-12-01):
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
