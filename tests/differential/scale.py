"""How many examples: CHECKPOINTABLE_EXAMPLES=n for n times as many, for a long run.

CHECKPOINTABLE_SEED=n starts from other examples than those of every day.
"""

from __future__ import annotations

import os

FACTOR = int(os.environ.get("CHECKPOINTABLE_EXAMPLES", "1"))
SEED = int(os.environ.get("CHECKPOINTABLE_SEED", "0"))
EXAMPLES = 55 * FACTOR

# Seconds a test, over the usual: what fails is made small first, which takes up to 300.
TIMEOUT = 900 * FACTOR
