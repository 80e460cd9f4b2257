"""What every test runs under: quiet frameworks, one thread each, repeatable examples."""

from __future__ import annotations

import os

# Before any framework is imported, and inherited by child processes.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same sums on every machine
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
for _name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ.setdefault(_name, "1")  # the tests' workers share the machine

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.real.wheels"]

# No deadline: the first example of a test pays for importing TensorFlow.
settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile(
    "ci",
    deadline=None,
    print_blob=True,
    derandomize=True,  # a change is judged by its own merits
    suppress_health_check=[HealthCheck.too_slow],  # shared machines are slow at times
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
