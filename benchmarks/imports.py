"""What `import checkpointable` adds to `import numpy`, each in a new process, in turn.

Public names are loaded when they are first asked for, so a second row asks for those that a
training uses.
"""

from __future__ import annotations

import subprocess
import sys

from .timing import Result

PROGRAM = """
import time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""


OURS, NUMPY = "import checkpointable", "import numpy"
STATEMENTS = {
    OURS: "import numpy, checkpointable",
    "and Checkpoint, CheckpointManager": (
        "import numpy; from checkpointable import Checkpoint, CheckpointManager"
    ),
    NUMPY: "import numpy",
}


def _seconds(statement: str) -> float:
    command = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compare(rounds: int) -> Result:
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for statement in STATEMENTS.values():
        _seconds(statement)  # files into the page cache
    for _ in range(rounds):
        for name, statement in STATEMENTS.items():
            seconds[name].append(_seconds(statement))
    return Result("import", seconds, OURS)
