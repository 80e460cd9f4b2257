#!/usr/bin/env bash
# JAX 0.10.2: an array put back with `device_put(x, old.sharding)` is not what `old` was: it is committed.
#
# A guess: putting restored values onto the shardings that the training's arrays had gives the same state.
# Seen: `device_put` with an explicit sharding commits the array to its device. optax's step count was
# an uncommitted array on one device, free to join a computation on four; its restored twin is tied to
# device 0, and the jitted update of parameters that lie on four devices raises. The same happens with
# `make_array_from_callback`. `array.committed` tells the two apart.
#
# Output seen (jax 0.10.2, optax 0.2.8, 4 simulated CPU devices, 2026-12-01):
#   count: committed False before, True after device_put(count, count.sharding)
#   fresh state: trains
#   restored state: ValueError: Received incompatible devices for jitted computation
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 optax==0.2.8
JAX_PLATFORMS=cpu XLA_FLAGS=--xla_force_host_platform_device_count=4 "$folder/env/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

mesh = Mesh(np.array(jax.devices()), ("x",))
params = jax.device_put(jnp.ones((8, 2)), NamedSharding(mesh, PartitionSpec("x")))
transformation = optax.adam(0.1)
state = transformation.init(params)


@jax.jit
def step(params, state):
    updates, state = transformation.update(params, state, params)
    return optax.apply_updates(params, updates), state


step(params, state)
print("fresh state: trains")
restored = jax.tree.map(lambda old: jax.device_put(np.asarray(old), old.sharding), state)
before, after = state[0].count.committed, restored[0].count.committed
print(f"count: committed {before} before, {after} after device_put(count, count.sharding)")
assert (before, after) == (False, True)
try:
    step(params, restored)
except ValueError as error:
    print("restored state: ValueError:", str(error)[:54])
    assert "incompatible devices" in str(error)
else:
    raise SystemExit("the restored state trains: this has changed")
PYTHON
