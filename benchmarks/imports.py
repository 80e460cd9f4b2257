"""What `import checkpointable` adds to `import numpy`, each in a new process, in turn."""

from __future__ import annotations

import subprocess
import sys

from .timing import Result

PROGRAM = """
import time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""


def _seconds(module: str) -> float:
    command = [sys.executable, "-c", PROGRAM.format(module=module)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compare(rounds: int) -> Result:
    seconds: dict[str, list[float]] = {"checkpointable": [], "numpy": []}
    for module in seconds:
        _seconds(module)  # files into the page cache
    for _ in range(rounds):
        for module, times in seconds.items():
            times.append(_seconds(module))
    return Result("import", seconds, "checkpointable")
